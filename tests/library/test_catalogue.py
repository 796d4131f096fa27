# SPDX-License-Identifier: GPL-2.0-only
"""Every case of the catalogue has a test or says why not, and every test that names a case names one of these."""

from pathlib import Path

import pytest

from kernelgate.catalogue import FILE, Entry, check_asked, implemented, read
from kernelgate.errors import UserError

ROOT = Path(__file__).parents[2]
ENTRIES = read(ROOT / FILE)
TESTED = implemented(ROOT)

NOTES = {
    "INV": 2, "REF": 15, "D": 21, "G": 8, "S": 10, "HVO": 5, "MF": 6, "VM": 1, "PIN": 2, "KHO": 1, "CMA": 1, "HP": 1,
    "FRS": 1, "GVE": 1, "RACE": 14, "LKMM": 1, "FP": 8, "NUMA": 8, "SLAB": 7, "HTLB": 5, "OFFL": 1,
    "RCU": 6, "ZD": 12,
}  # fmt: skip
"""How many cases of each kind the plan has (issues 3 to 5). BIS-COMP has no number."""


@pytest.mark.parametrize("case", sorted(ENTRIES))
def test_every_case_has_a_test_or_a_reason(case: str) -> None:
    """And not both: a reason that outlives its test's arrival tells readers what is no longer so."""
    tests, reason = TESTED.get(case, ()), ENTRIES[case].reason
    assert bool(tests) != bool(reason), f"{case}: tests {tests}, reason for having none: {reason}"


def test_every_tested_case_is_in_the_catalogue() -> None:
    assert sorted(set(TESTED) - set(ENTRIES)) == []


@pytest.mark.parametrize("kind", NOTES)
def test_no_planned_case_is_missing(kind: str) -> None:
    planned = {f"{kind}-{number:02}" for number in range(1, NOTES[kind] + 1)}
    assert sorted(planned - set(ENTRIES)) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("kmod", "images/programs", "tests/frozen_bit", "tests/library"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kmod/kg_crash.c").write_text('\tKG_TRIGGER("D-01", page_ref_add),\n\tKG_TRIGGER("D-01", again),\n')
    (tmp_path / "kmod/kg_race.c").write_text('\tKG_CASE_SLOW("RACE-01", gets),\n/* see KG_CASE("RACE-02") */\n')
    (tmp_path / "images/programs/kg_hvo.c").write_text('\tKG_CASE("HVO-01", claim),\n\tKG_CASE("D-01", claim),\n')
    (tmp_path / "tests/frozen_bit/test_static.py").write_text('@pytest.mark.case("S-01")\ndef test(): ...\n')
    (tmp_path / "images/programs/kg_comp.c").write_text('\tKG_CASE("BIS-COMP", claim),\n\tKG_CASE("BIS-X", no),\n')
    (tmp_path / "tests/library/test_it.py").write_text('@pytest.mark.case("S-02")\ndef test(): ...\n')
    return tmp_path


def test_tests_are_found_in_modules_programs_and_markers(project: Path) -> None:
    assert implemented(project) == {
        "D-01": ("kmod/kg_crash.c", "images/programs/kg_hvo.c"),
        "RACE-01": ("kmod/kg_race.c",),
        "HVO-01": ("images/programs/kg_hvo.c",),
        "BIS-COMP": ("images/programs/kg_comp.c",),
        "S-01": ("tests/frozen_bit/test_static.py",),
    }


def test_unknown_case_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown case 'HVO-1': did you mean .*HVO-01"):
        check_asked(["HVO-1"], ENTRIES, TESTED)


def test_case_without_a_test_says_why() -> None:
    entries = {"PIN-02": Entry("PIN-02", "claim", "reached", "it takes hours")}
    with pytest.raises(UserError, match="case PIN-02 has no test: it takes hours"):
        check_asked(["PIN-02"], entries, {})


def test_case_with_a_test_is_let_through() -> None:
    check_asked(["REF-01"], ENTRIES, TESTED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[REF-1x]\nclaim = "c"\nreached = "r"', "REF-1x: a case is a table named like"),
        ('[REF-01]\nclaim = "c"', "REF-01: reached must be a text"),
        ('[REF-01]\nclaim = "c"\nreached = "r"\nreason = ""', "REF-01: reason must be a text"),
        ('[REF-01]\nclaim = "c"\nreached = "r"\nreasn = "x"', "unknown key 'reasn': did you mean reason"),
        ("[REF-01", "catalogue.toml: "),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "catalogue.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "catalogue.toml")
