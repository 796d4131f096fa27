# SPDX-License-Identifier: GPL-2.0-only
"""What kmod/ and images/programs/ hold, read off their C sources without compiling anything.

pytest lists every KUnit case, every crash trigger and every case of a program as an item
of its own before there is a kernel, so the sources name them in a fixed form:

    KG_CASE("REF-03", failed_get_leaves_page_frozen)    in a suite's or a program's table
    KG_TRIGGER("D-01", page_ref_add)                    in kg_crash.c's table
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kernelgate.errors import unknown

PROGRAMS = Path("images/programs")
"""Where the project keeps programs for the guest."""
CRASH_MODULE = "kg_crash"
PROBE_MODULE = "kg_probe"
HANDOVER_MODULE = "kg_kho"
"""The eye of the programs on struct page."""

ID = r"([A-Z]+-(?:\d+|COMP))"
"""How a case of the catalogue is named: by its kind and a number, but BIS-COMP, which is known by that name."""

_CASE = re.compile(rf'^\s*KG_CASE\w*\("{ID}",\s*(\w+)', re.MULTILINE)
_TRIGGER = re.compile(rf'^\s*KG_TRIGGER\("{ID}",\s*(\w+)', re.MULTILINE)
_SUITE = re.compile(r'^static struct kunit_suite \w+ = \{.*?\.name = "(\w+)"', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One line of the catalogue as the sources name it: id "REF-03" and the claim."""

    id: str
    name: str


@dataclass(frozen=True)
class Suite:
    """One KUnit suite; its module has the name of its file."""

    name: str
    module: str
    cases: tuple[Case, ...]


def suites(kmod: Path) -> dict[str, Suite]:
    """The KUnit suites of the folder KMOD by module name."""
    found = {}
    for source in sorted(kmod.glob("kg_*.c")):
        text = source.read_text()
        name = _SUITE.search(text)
        if name:
            found[source.stem] = Suite(name.group(1), source.stem, _cases(_CASE, text))
    return found


def suite(kmod: Path, module: str) -> Suite:
    """The suite of MODULE; raises UserError for an unknown one."""
    known = suites(kmod)
    if module not in known:
        raise unknown("test module", module, known)
    return known[module]


def programs(folder: Path) -> dict[str, tuple[Case, ...]]:
    """The cases of each test program of FOLDER, images/programs/, by its name."""
    return {source.stem: _cases(_CASE, source.read_text()) for source in sorted(folder.glob("kg_*.c"))}


def program(folder: Path, name: str) -> tuple[Case, ...]:
    """The cases of the program NAME; raises UserError for an unknown one."""
    known = programs(folder)
    if name not in known:
        raise unknown("test program", name, known)
    return known[name]


def triggers(kmod: Path) -> tuple[Case, ...]:
    """The crash triggers of the folder KMOD, in the order of the table."""
    return _cases(_TRIGGER, (kmod / f"{CRASH_MODULE}.c").read_text())


def _cases(pattern: re.Pattern[str], text: str) -> tuple[Case, ...]:
    return tuple(Case(id=match[1], name=match[2]) for match in pattern.finditer(text))
