# SPDX-License-Identifier: GPL-2.0-only
"""From what a guest left behind to a verdict; a verdict is CRASHED until evidence makes it PASSED.

Promise 1: silence is never a pass. Each check below returns the reasons why a piece of
work is not proven good; only an empty list passes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from kernelgate import dmesg, ktap
from kernelgate.dmesg import Record, Splat
from kernelgate.splat_formats import Kind


class Outcome(Enum):
    """What became of one case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CRASHED = "crashed"


# Documentation/admin-guide/tainted-kernels.rst, and the names in include/linux/panic.h (7.2)
TAINT_OOT_MODULE = 1 << 12
TAINT_TEST = 1 << 18
TAINT_LETTERS = "PFSRMBUDAWCIOELKXTNJ"
KUNIT_TAINT = TAINT_OOT_MODULE | TAINT_TEST
"""What loading a KUnit module of ours sets (lib/kunit/test.c kunit_run_tests())."""

_FATAL = re.compile(r"Fatal exception(?! in interrupt)")
"""How a panic on an oops is worded (arch/x86/kernel/dumpstack.c oops_end(), arch/arm64/kernel/traps.c die())."""

_NOT_OK = re.compile(r"\s*not ok \d")


@dataclass(frozen=True)
class Evidence:
    """All that a guest left behind of one piece of work.

    status is the exit status of command, None where the guest never answered; records are
    what the work added to the kernel log, which must begin with number first; death says
    how the guest ended where it did.
    """

    command: str
    status: int | None = None
    output: str = ""
    records: tuple[Record, ...] = ()
    first: int = 0
    console: str = ""
    taint_before: int = 0
    taint_after: int | None = None
    death: str = ""

    @property
    def splats(self) -> tuple[Splat, ...]:
        """What the kernel complained of during the work; from the console where the log was lost with the guest."""
        return dmesg.splats(self.console if self.death else self.records)


@dataclass(frozen=True)
class Verdict:
    """The judgement of one case: outcome, the reasons for it where it is not PASSED, and what it rests on."""

    outcome: Outcome = Outcome.CRASHED
    reasons: tuple[str, ...] = ("nothing was heard of it",)
    splats: tuple[Splat, ...] = ()
    evidence: Evidence = field(default_factory=lambda: Evidence(""))

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def skipped(self) -> bool:
        return self.outcome is Outcome.SKIPPED

    def explain(self) -> str:
        """The reasons, one a line."""
        return "\n".join((f"{self.outcome.value}: {self.reasons[0]}", *self.reasons[1:])) if self.reasons else "passed"


def health(evidence: Evidence, allowed_taint: int) -> list[str]:
    """Why EVIDENCE does not show a guest in good health; empty when it does.

    ALLOWED_TAINT are the bits that the work itself sets (an out-of-tree module, a test).
    """
    if evidence.death:
        return [evidence.death, *_titles(evidence.splats)]
    if evidence.status is None or evidence.taint_after is None:
        return ["the guest never answered"]
    reasons = _titles(evidence.splats)
    if missing := dmesg.gaps(evidence.records, evidence.first):
        reasons.append(f"the kernel log has gaps: {missing}")
    if not evidence.records:
        reasons.append("the kernel log is empty")
    if new := evidence.taint_after & ~evidence.taint_before & ~allowed_taint:
        reasons.append(f"the kernel is tainted {taint_letters(new)}")
    return reasons


def judge_boot(evidence: Evidence, wanted: Sequence[tuple[str, str, str]]) -> Verdict:
    """Judge a boot: a log without gap or splat, no taint, and each of WANTED (what, asked for, found) alike."""
    reasons = health(evidence, 0)
    reasons += [f"{what}: asked for {asked}, got {found}" for what, asked, found in wanted if asked != found]
    return _verdict(reasons, evidence)


def proven(evidence: Evidence, suite: str) -> dict[str, Verdict]:
    """The cases of a SUITE run in one guest whose good verdict nothing can shake.

    All of them where the whole run is sound; else those that ended before the first sign
    of trouble in the log, and none where the trouble has no place in it.
    """
    found = ktap.parse(record.text for record in evidence.records)
    if not health(evidence, KUNIT_TAINT) and found.ok and evidence.status == 0:
        return _good(found, suite, evidence)
    if evidence.death or dmesg.gaps(evidence.records, evidence.first):
        return {}
    bad = [splat.seq for splat in evidence.splats]
    bad += [record.seq for record in evidence.records if _NOT_OK.match(record.text)]
    early = [record.text for record in evidence.records if record.seq < min(bad, default=0)]
    return _good(ktap.parse(early), suite, evidence)


def _good(found: ktap.Report, suite: str, evidence: Evidence) -> dict[str, Verdict]:
    result = found.find(suite)
    good = {}
    for case in result.children if result else ():
        if case.status is ktap.Status.PASSED:
            good[case.name] = Verdict(Outcome.PASSED, (), (), evidence)
        elif case.status is ktap.Status.SKIPPED:
            good[case.name] = _skipped(case, evidence)
    return good


def _skipped(case: ktap.Result, evidence: Evidence) -> Verdict:
    return Verdict(Outcome.SKIPPED, (case.reason or "skipped without a reason",), (), evidence)


def judge_case(evidence: Evidence, suite: str, case: str) -> Verdict:
    """Judge one KUnit case that ran alone: everything in the log is of its making."""
    reasons = health(evidence, KUNIT_TAINT)
    if evidence.status:
        reasons.append(f"{evidence.command}: status {evidence.status} {evidence.output.strip()}")
    found = ktap.parse(record.text for record in evidence.records)
    result = found.find(suite, case)
    if result is None:
        return _verdict([*reasons, f"{suite}.{case} has no result line", *found.errors], evidence)
    if result.status is not ktap.Status.PASSED and result.status is not ktap.Status.SKIPPED:
        return _verdict([*_diagnostics(result), *reasons, *found.errors], evidence)
    reasons += found.errors
    if not reasons and result.status is ktap.Status.SKIPPED:
        return _skipped(result, evidence)
    return _verdict(reasons, evidence)


def judge_survival(evidence: Evidence, said: str) -> list[str]:
    """Why a call that must be silent was not: SAID is the line that proves that it came back."""
    reasons = health(evidence, TAINT_OOT_MODULE)
    if evidence.status:
        reasons.append(f"{evidence.command}: status {evidence.status} {evidence.output.strip()}")
    if not any(said in record.text for record in evidence.records):
        reasons.append(f"no line '{said}' in the log: did the call return?")
    return reasons


def judge_death(evidence: Evidence, condition: str, file: str, function: str) -> list[str]:
    """Why a death is not the one required: CONDITION, in FILE, called by FUNCTION, and nothing else (promise 4).

    The guest runs with panic_on_oops, so that the death ends it. What a task does after an oops is not sound
    on every architecture: 7.2 on arm64 warns of its own do_exit() (arch/arm64/kernel/process.c, __switch_to()).
    """
    if not evidence.splats:
        return [evidence.death or f"{condition} did not fire"]
    first, others = evidence.splats[0], evidence.splats[1:]
    reasons = [f"besides the required death: {title}" for title in _titles(others)]
    if first.kind is not Kind.KERNEL_BUG or first.condition != condition:
        reasons.append(f"asked for {condition}, got {first.title}")
    if not (first.location or "").rpartition(":")[0].endswith(file):
        reasons.append(f"asked for a death in {file}, got {first.location or 'no file'}")
    if function not in (first.function, *first.call_trace):
        reasons.append(f"asked for a death in {function}(), got {first.function}() and {' '.join(first.call_trace)}")
    if not _FATAL.search(evidence.death):
        reasons.append(f"asked for a panic of that death, got {evidence.death or 'a guest that goes on'}")
    return reasons


def judge_sources(command: str, findings: Sequence[str], silent: str | None) -> Verdict:
    """Judge what COMMAND found in a tree: FINDINGS fail it; SILENT, the reason why it says nothing there, skips it."""
    evidence = Evidence(command, status=0, taint_after=0)
    return Verdict(Outcome.SKIPPED, (silent,), (), evidence) if silent else _verdict(list(findings), evidence)


def conclude(reasons: Sequence[str], evidence: Evidence) -> Verdict:
    """PASSED for no reasons against it, CRASHED where the guest was lost, else FAILED."""
    return _verdict(list(reasons), evidence)


def taint_letters(taint: int) -> str:
    """The letters of a taint word, e.g. 4224 -> "DO"."""
    return "".join(letter for bit, letter in enumerate(TAINT_LETTERS) if taint >> bit & 1) or "-"


def _verdict(reasons: list[str], evidence: Evidence) -> Verdict:
    if not reasons:
        return Verdict(Outcome.PASSED, (), (), evidence)
    lost = evidence.death or evidence.taint_after is None
    return Verdict(Outcome.CRASHED if lost else Outcome.FAILED, tuple(reasons), evidence.splats, evidence)


def _titles(splats: Sequence[Splat]) -> list[str]:
    return [f"{splat.title}{' (follows from the death before it)' * splat.aftermath}" for splat in splats]


def _diagnostics(result: ktap.Result) -> list[str]:
    """What the case itself said of its failure."""
    said = [line.strip() for line in result.diagnostics if line.strip()]
    return said or [f"{result.name}: {result.status.value} without a word"]
