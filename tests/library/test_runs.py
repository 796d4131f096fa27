# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the gate as children: a project of one test and the real conftest.py and pytest, no guest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernelgate import runs
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.runs import Item, Runner

ROOT = Path(__file__).parents[2]

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.frozen_bit.test_race" name="test_a[x86_64-smp2-RACE-01-claim-run2]"><properties>
 <property name="case" value="RACE-01"/><property name="outcome" value="failed"/>
 <property name="folder" value="/results/x"/></properties><failure message="m">RACE-01 failed: words</failure>
</testcase>
<testcase classname="tests.frozen_bit.test_race" name="test_b[arm64-lse]"><properties>
 <property name="outcome" value="lost"/></properties><error message="disk full">disk full</error></testcase>
<testcase classname="tests.frozen_bit.test_race" name="test_run3"/>
<testcase classname="tests.frozen_bit.test_race" name="test_d"><skipped message="why">x:1: why</skipped></testcase>
</testsuite></testsuites>"""


def test_a_run_is_read_item_by_item(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(JUNIT)
    file = "tests/frozen_bit/test_race.py"
    assert runs.read(tmp_path / "a.xml") == (
        Item(f"{file}::test_a[x86_64-smp2-RACE-01-claim]", "RACE-01", "failed", "RACE-01 failed: words", "/results/x"),
        Item(f"{file}::test_b[arm64-lse]", "", "lost", "disk full", ""),
        Item(f"{file}::test_run3", "", "passed", "", ""),
        Item(f"{file}::test_d", "", "skipped", "x:1: why", ""),
    )


@pytest.mark.parametrize("text", [None, "", JUNIT[:300]])
def test_a_run_without_a_whole_account_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InfrastructureError, match="left no account of itself"):
        runs.read(tmp_path / "a.xml")


def project(tmp_path: Path, test: str) -> Runner:
    """A project that has only TEST, which is plain pytest's."""
    (tmp_path / "results").mkdir()
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--results')\n")
    (tmp_path / "test_it.py").write_text(test)
    return Runner(tmp_path, Path(sys.executable), tmp_path / "results", ("-p", "no:cacheprovider", "test_it.py"))


def test_a_run_that_fails_is_an_account(tmp_path: Path) -> None:
    found = project(tmp_path, "def test_a():\n    assert 1 == 2\ndef test_b(): pass\n").run("one")
    assert [(item.name, item.outcome) for item in found] == [
        ("test_it.py::test_a", "failed"),
        ("test_it.py::test_b", "passed"),
    ]
    assert "assert 1 == 2" in (tmp_path / "results/one.log").read_text()


def test_a_run_that_is_spoilt_is_begun_once_more(tmp_path: Path) -> None:
    spoilt = "import pytest, pathlib\ndef test_a():\n    seen = pathlib.Path('seen')\n    if not seen.exists():\n"
    spoilt += "        seen.touch(); pytest.exit('no network', returncode=75)\n"
    assert [item.outcome for item in project(tmp_path, spoilt).run("one")] == ["passed"]


def test_a_run_that_is_spoilt_each_time_is_no_verdict(tmp_path: Path) -> None:
    spoilt = "import pytest\ndef test_a():\n    pytest.exit('no network', returncode=75)\n"
    with pytest.raises(InfrastructureError, match=r"one: the run ended with status 75: see .*/one\.log"):
        project(tmp_path, spoilt).run("one")


def test_nothing_selected_is_an_error_and_never_all_good(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is selected: no test matches"):
        project(tmp_path, "def test_a(): pass\n").run("one", "-k", "nothing_like_it")


def test_what_the_gate_refuses_is_said_in_its_own_line(tmp_path: Path) -> None:
    runner = Runner(ROOT, Path(sys.executable), tmp_path, ("tests/frozen_bit",))
    with pytest.raises(UserError, match=r"^unknown machine 'smp3'"):
        runner.run("one", "--machine=smp3")


def test_refusals_of_a_run_that_has_begun() -> None:
    said = "collected 3 items\n!!!!!!!! _pytest.outcomes.Exit: 9.9 does not exist: name one !!!!!!!!\n"
    assert runs.refusal(4, said) == "9.9 does not exist: name one"


def test_a_file_appears_at_once_or_not_at_all(tmp_path: Path) -> None:
    runs.save(tmp_path / "state", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    with pytest.raises(InfrastructureError, match="name another --results"):
        runs.save(tmp_path / "missing" / "state", "whole")


def test_the_tests_of_the_project_itself_run_on_no_kernel() -> None:
    found = runs.folders(ROOT)
    assert "tests/frozen_bit" in found
    assert "tests/library" not in found
