# SPDX-License-Identifier: GPL-2.0-only
"""REF-11, -12, -15: what people and tools read of the count: trace, page dumps, crash dumps."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelgate import verdict
from kernelgate.command import run
from kernelgate.suites import Case
from kernelgate.variant import Variant

MACHINES = pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
SHOW_PAGE_INFO = "tools/mm/show_page_info.py"
STAND_IN = Path(__file__).parent / "drgn_stand_in"

STORED = {1: 1, 3: 3, 0x7FFFFFFF: 0x7FFFFFFF}
"""What is stored in the count of a page, as a signed number, and how many references that are."""

FROZEN = {Variant.UNPATCHED: {0: 0}, Variant.ASSERTS: {0: 0}, Variant.FROZEN_BIT: {-0x80000000: 0, -0x7FFFFFFB: 0}}
"""The same of frozen pages: KERNEL-NOTES B.5; -0x7FFFFFFB is one that five gets have failed on."""


def dumped(variant: Variant) -> dict[str, tuple[str, str]]:
    """By mode of the trigger: the count, and the word that _mapcount (-1) and _refcount are in, of 64 bits."""
    frozen, residue = ("80000000", "80000005") if variant is Variant.FROZEN_BIT else ("00000000", "00000000")
    return {
        "control": ("refcount:3 ", " 00000003ffffffff "),
        "trigger": ("refcount:0 ", f" {frozen}ffffffff "),
        "residue": ("refcount:0 ", f" {residue}ffffffff "),
    }


@MACHINES
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.triggers("REF-")
def test_page_dump(gate: Any, target: Any, case: Case, judged: Any) -> None:
    variant = gate.kernel(target.flavour).variant
    judged(gate.page_dump(target, case, "kg_crash: page dump as asked for", dumped(variant)))


@MACHINES
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.suite("kg_trace")
def test_trace(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@MACHINES
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.suite("kg_vmcoreinfo")
def test_crash_dump(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


def shown(tree: Path, stored: int) -> str:
    """What the script of TREE says of a page whose count is STORED."""
    env = {"PYTHONPATH": str(STAND_IN), "PYTHONDONTWRITEBYTECODE": "1", "REFCOUNT": str(stored)}
    result = run([sys.executable, tree / SHOW_PAGE_INFO, "1", "0x1000"], env=env, check=False)
    found = re.search(r"^Page Refcount: +(\S+)$", result.stdout, re.MULTILINE)
    return found[1] if found else f"{result.stdout}{result.stderr}".strip()


@pytest.mark.sources
@pytest.mark.case("REF-15")
@pytest.mark.parametrize("case", [Case("REF-15", SHOW_PAGE_INFO)], ids=["show_page_info.py"])
def test_script(gate: Any, case: Case, judged: Any) -> None:
    sources = gate.sources()
    if not (sources.path / SHOW_PAGE_INFO).is_file():
        judged(verdict.judge_sources(SHOW_PAGE_INFO, [], f"no {SHOW_PAGE_INFO} in this kernel: run with --base 7.2"))
        return
    wanted = STORED | FROZEN[sources.variant]
    found = {stored: shown(sources.path, stored) for stored in wanted}
    findings = [
        f"{SHOW_PAGE_INFO}: a count of {stored & 0xFFFFFFFF:08x} is shown as {found[stored]}, not {count}"
        for stored, count in wanted.items()
        if found[stored] != str(count)
    ]
    judged(verdict.judge_sources(SHOW_PAGE_INFO, findings, None))
