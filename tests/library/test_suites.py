# SPDX-License-Identifier: GPL-2.0-only
"""The cases of kmod/ are read off its sources in a fixed form."""

import subprocess
import sys
from pathlib import Path

import pytest

from kernelgate.errors import UserError
from kernelgate.suites import Case, Suite, suite, suites, triggers

ROOT = Path(__file__).parents[2]

SUITE = """
static struct kunit_case page_ref_cases[] = {
	KG_CASE("REF-01", counting_is_exact),
	KG_CASE_SLOW("REF-03", failed_get_leaves_page_frozen),
	{}
};

static struct kunit_suite page_ref_suite = {
	.test_cases = page_ref_cases,
	.name = "kg_page_ref",
};
"""


@pytest.fixture
def kmod(tmp_path: Path) -> Path:
    (tmp_path / "kg_page_ref.c").write_text(SUITE)
    (tmp_path / "kg_crash.c").write_text('\tKG_TRIGGER("D-01", page_ref_add),\n\tKG_TRIGGER("D-02", page_ref_sub),\n')
    return tmp_path


def test_suite_has_its_name_module_and_cases(kmod: Path) -> None:
    cases = (Case("REF-01", "counting_is_exact"), Case("REF-03", "failed_get_leaves_page_frozen"))
    assert suites(kmod) == {"kg_page_ref": Suite("kg_page_ref", "kg_page_ref", cases)}


def test_unknown_module_names_the_nearest(kmod: Path) -> None:
    with pytest.raises(UserError, match="did you mean kg_page_ref"):
        suite(kmod, "kg_page_reff")


def test_triggers_keep_the_order_of_the_table(kmod: Path) -> None:
    assert triggers(kmod) == (Case("D-01", "page_ref_add"), Case("D-02", "page_ref_sub"))


def test_every_case_in_kmod_is_a_function_there() -> None:
    """The table's text and the C function cannot drift apart: the compiler checks one, this the other."""
    found = suites(ROOT / "kmod")
    assert found
    for module, each in found.items():
        text = (ROOT / "kmod" / f"{module}.c").read_text()
        assert each.cases, f"{module}.c has no KG_CASE"
        for case in each.cases:
            assert f"static void {case.name}(struct kunit *" in text, f"{module}.c: {case.name}"


def test_names_of_the_gate_select_nothing_of_the_library() -> None:
    """`-k frozen_bit` is the gate: no test of the library may have such a word in its name."""
    gate = [folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name != "library"]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/library", "-k", " or ".join(gate)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in listed.stdout.splitlines() if "::" in line] == []


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest imports them by their names alone, since tests/library has modules of its own to import."""
    names = [path.name for path in (ROOT / "tests").glob("*/test_*.py")]
    assert sorted(names) == sorted(set(names))
