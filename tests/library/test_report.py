# SPDX-License-Identifier: GPL-2.0-only
"""What a person reads: each outcome under its own name, the same sentence once, how long it may take."""

import io
import re
from types import SimpleNamespace

import pytest

from kernelgate import report
from kernelgate.manifest import KnownDefect
from kernelgate.progress import Step
from kernelgate.selection import SOURCES, Flavour, Target

SMP2, LSE = Target("x86_64", "smp2"), Target("arm64", "lse")


def result(outcome: str, when: str = "call", **more: object) -> SimpleNamespace:
    return SimpleNamespace(outcome=outcome, when=when, **{"longrepr": "", "longreprtext": more.pop("text", ""), **more})


def row(found: SimpleNamespace, target: Target = SMP2) -> report.Row:
    return report.row("tests/a.py::test", target, {"kernel": "7.2.13-1 x86_64 debug_vm", "case": "REF-01"}, found)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (result("passed"), report.PASSED),
        (result("failed"), report.FAILED),
        (result("failed", "setup"), report.ERROR),
        (result("failed", "setup", kernel_is_at_fault=True), report.FAILED),
        (result("skipped"), report.SKIPPED),
        (result("skipped", wasxfail="D6"), report.KNOWN),
        (result("failed", text="[XPASS(strict)] D6"), report.FAILED),
    ],
    ids=["passed", "failed", "lost", "kernel does not build", "skipped", "known defect", "known defect gone"],
)
def test_outcome(found: SimpleNamespace, outcome: str) -> None:
    assert row(found).outcome == outcome


def test_table_counts_each_machine_apart() -> None:
    text = report.summary(
        [row(result("passed")), row(result("passed")), row(result("failed", text="why"), LSE)], "head"
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["7.2.13-1", "x86_64", "debug_vm", "smp2", "2", "-", "-", "-", "-"] in lines
    assert ["7.2.13-1", "x86_64", "debug_vm", "lse", "-", "1", "-", "-", "-"] in lines


D10 = KnownDefect(
    cases=("INV-01",),
    defect="D10",
    since=2,
    summary="a raw count of 0",
    shows=re.compile("raw 0"),
    tests=(),
    bases=(),
    arches=(),
    configs=(),
    mended_by=None,
    spreads=True,
    must_show=("INV-01", "FP-01"),
)
X86 = Flavour("x86_64")


def ran(case: str, outcome: str = report.PASSED, target: Target = SMP2, detail: str = "") -> report.Row:
    return report.Row(f"test[{case}]", target, "7.3.4", case, outcome, detail)


def test_defect_that_shows_nowhere_is_a_failure_of_the_run() -> None:
    (found,) = report.unshown([ran("INV-01"), ran("FP-01")], [], {X86: [D10]})
    assert (found.outcome, str(found.target), found.kernel) == (report.FAILED, "x86_64-(any)", "7.3.4")
    assert "did not show in any test" in report.summary([found], "head")
    assert str(D10) in found.detail


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [
        ([ran("INV-01"), ran("REF-01", report.KNOWN, detail=str(D10)), ran("FP-01")], []),
        ([ran("INV-01")], []),
        ([ran("INV-01"), ran("FP-01", report.SKIPPED)], []),
        ([ran("INV-01"), ran("FP-01", report.ERROR)], []),
        ([ran("INV-01"), ran("FP-01")], [(X86, "FP-01")]),
        ([ran("INV-01", target=LSE), ran("FP-01")], []),
    ],
    ids=["shown elsewhere", "not asked for", "skipped", "lost", "part of it left out", "on another kernel"],
)
def test_nothing_is_said_of_a_run_that_shows_it_or_is_not_wide_enough(
    rows: list[report.Row], left_out: list[tuple[Flavour, str]]
) -> None:
    assert report.unshown(rows, left_out, {X86: [D10]}) == []


def test_defect_shown_by_another_kernel_is_not_shown_by_this_one() -> None:
    rows = [ran("INV-01"), ran("FP-01"), ran("INV-01", report.KNOWN, LSE, str(D10))]
    assert len(report.unshown(rows, [], {X86: [D10]})) == 1
    assert len(report.unshown(rows, [(Flavour("arm64"), "INV-01")], {X86: [D10]})) == 1


def test_same_sentence_is_printed_once_with_its_machines() -> None:
    skip = result("skipped", longrepr=("file", 1, "Skipped: skipped: needs two nodes"))
    text = report.summary([row(skip), row(skip), row(skip, LSE)], "head")
    assert text.count("needs two nodes") == 1
    assert "x86_64-smp2 (2 times) arm64-lse" in text
    assert "Skipped" not in text


@pytest.mark.parametrize(
    ("targets", "to_build", "line"),
    [
        ([SMP2], [], "1 kernel, none to build; 1 machine to boot"),
        ([SMP2, LSE, LSE, SOURCES], [], "2 kernels, none to build; 2 machines to boot"),
        (
            [SMP2, LSE, Target("arm64", "llsc"), Target("arm64", "lse", "lockdep")],
            [Flavour("x86_64"), Flavour("arm64", "lockdep")],
            "3 kernels, 2 to build (arm64 lockdep, x86_64 debug_vm); 4 machines to boot",
        ),
        ([SOURCES], [], "no kernel: the sources are read"),
    ],
)
def test_a_run_says_beforehand_what_it_takes(targets: list[Target], to_build: list[Flavour], line: str) -> None:
    assert report.outlook(targets, to_build) == line


def test_failure_is_shown_whole() -> None:
    text = report.summary([row(result("failed", text="expected F\nreplay: results/x/replay.sh"))], "head")
    assert "expected F" in text
    assert "replay: results/x/replay.sh" in text


@pytest.mark.parametrize(
    ("step", "seconds", "line"),
    [
        (Step("build", 310, 930, "objects"), 100.0, "build: 310 of 930 objects, 100 s, about 200 s left"),
        (Step("build", 930, 930, "objects"), 300.0, "build: 930 of 930 objects, 300 s"),
        (Step("unpack", 1000, None, "files"), 3.0, "unpack: 1000 files, 3 s"),
        (Step("modules"), 0.0, "modules ..."),
    ],
)
def test_progress_says_what_is_left(step: Step, seconds: float, line: str) -> None:
    assert report.plain_line(step, seconds) == line


def test_progress_in_a_log_is_rationed() -> None:
    log = io.StringIO()
    with report.progress(log) as show:
        for done in range(100):
            show(Step("build", done, 100, "objects"))
        show(Step("build", 100, 100, "objects"))
    assert len(log.getvalue().splitlines()) == 2
