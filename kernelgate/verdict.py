# SPDX-License-Identifier: GPL-2.0-only
"""From what a guest left behind to a verdict; a verdict is CRASHED until evidence makes it PASSED.

Promise 1: silence is never a pass. Each check below returns the reasons why a piece of
work is not proven good; only an empty list passes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from kernelgate import dmesg, ktap
from kernelgate.dmesg import Record, Splat
from kernelgate.splat_formats import Kind
from kernelgate.variant import Assertions, Variant


class Outcome(Enum):
    """What became of one case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CRASHED = "crashed"


# Documentation/admin-guide/tainted-kernels.rst, and the names in include/linux/panic.h (7.2)
TAINT_WARN = 1 << 9
TAINT_OOT_MODULE = 1 << 12
TAINT_TEST = 1 << 18
TAINT_LETTERS = "PFSRMBUDAWCIOELKXTNJ"
KUNIT_TAINT = TAINT_OOT_MODULE | TAINT_TEST
"""What loading a KUnit module of ours sets (lib/kunit/test.c kunit_run_tests())."""

_FATAL = re.compile(r"Fatal exception(?! in interrupt)")
"""How a panic on an oops is worded (arch/x86/kernel/dumpstack.c oops_end(), arch/arm64/kernel/traps.c die())."""

_VARIANTS = tuple(Variant)
"""In the order in which a series makes them of each other."""

PASSED = "passed"

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

    @functools.cached_property
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
    return _titles(evidence.splats) + _state(evidence, allowed_taint)


def _state(evidence: Evidence, allowed_taint: int) -> list[str]:
    """Why the log is not all of it, or the taint word not as it may be, in a guest that answered."""
    reasons = []
    if missing := dmesg.gaps(evidence.records, evidence.first):
        reasons.append(f"the kernel log has gaps: {missing}")
    if not evidence.records:
        reasons.append("the kernel log is empty")
    if new := (evidence.taint_after or 0) & ~evidence.taint_before & ~allowed_taint:
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


@dataclass(frozen=True)
class Complaint:
    """One complaint of the kernel that a trigger must bring about.

    It is a KERNEL_BUG, which ends the guest, or a WARNING, which it survives. condition is what the assertion says of
    itself in the log or, where it says nothing (WARN_ON_ONCE()), what stands in the source line that the log names.
    The check is in file, and function is the one that complains or one that has called it. since is the first variant
    that has the check; form is that of the series' assertions where it is one of them, None where the kernel has it
    anyway; debug_vm says whether only kernels with DEBUG_VM have it.
    """

    kind: Kind
    condition: str
    file: str
    function: str
    since: Variant = Variant.UNPATCHED
    form: Assertions | None = None
    debug_vm: bool = True

    def holds(self, variant: Variant, form: Assertions, debug_vm: bool) -> bool:
        """Whether a kernel of VARIANT, whose series asserts in FORM, with DEBUG_VM or not, has this check."""
        if self.form not in (None, form):
            return False
        return _VARIANTS.index(variant) >= _VARIANTS.index(self.since) and (debug_vm or not self.debug_vm)

    def differs(self, splat: Splat, line_of: LineOf) -> list[str]:
        """Why SPLAT is another complaint than this."""
        reasons = []
        file, _, number = (splat.location or "").rpartition(":")
        words = splat.condition or (line_of(self.file, int(number)) if number else "")
        said = words == self.condition if splat.condition else self.condition in words
        if splat.kind is not self.kind or not said:
            reasons.append(f"asked for {self.condition}, got {splat.title} {words.strip()}".rstrip())
        if not file.endswith(self.file):
            reasons.append(f"asked for a {self.kind.value} in {self.file}, got {splat.location or 'no file'}")
        if self.function not in (splat.function, *splat.call_trace):
            trace = " ".join(splat.call_trace)
            reasons.append(f"asked for a {self.kind.value} in {self.function}(), got {splat.function}() and {trace}")
        return reasons


LineOf = Callable[[str, int], str]
"""The line of a source file of the kernel, by its path in the tree and its number from 1."""


def skip_reason(evidence: Evidence, said: str) -> str:
    """What follows SAID in the log: why a trigger has nothing to try here, and the remedy; "" for no such line."""
    found = [record.text.partition(said)[2].strip() for record in evidence.records if said in record.text]
    return found[0] if found else ""


def skip(reason: str) -> Verdict:
    """The verdict on what was not tried, for REASON."""
    return Verdict(Outcome.SKIPPED, (reason,))


def skipped(reason: str, evidence: Evidence) -> Verdict:
    """The verdict on what could not be tried for REASON; a guest that is not sound is not excused."""
    reasons = health(evidence, TAINT_OOT_MODULE)
    return _verdict([*reasons, reason], evidence) if reasons else Verdict(Outcome.SKIPPED, (reason,), (), evidence)


TAP_VERSION = "TAP version 14"


def judge_program(evidence: Evidence, claim: str) -> Verdict:
    """Judge one case of a program in user space, which prints TAP of this one CLAIM.

    It passes when the program ended by itself with status 0 and a whole report, in a guest
    in good health. A skip counts where it names the remedy.
    """
    reasons = health(evidence, TAINT_OOT_MODULE)
    lines = evidence.output.splitlines()
    found = ktap.parse(lines)
    result = found.results[0] if len(found.results) == 1 and found.results[0].name == claim else None
    if result is None:
        reasons = [*reasons, *_ending(evidence), f"no report on {claim} alone", *_last(lines)]
        return _verdict(reasons, evidence)
    if result.status not in (ktap.Status.PASSED, ktap.Status.SKIPPED):
        return _verdict([*_diagnostics(result), *reasons, *found.errors], evidence)
    reasons += [*_ending(evidence), *found.errors]
    if lines[0] != TAP_VERSION:
        reasons.append(f"the report begins with '{lines[0]}' instead of '{TAP_VERSION}'")
    if result.status is ktap.Status.SKIPPED and ": " not in result.reason:
        reasons.append(f"skipped without a remedy: {result.reason or 'no reason'}")
    if not reasons and result.status is ktap.Status.SKIPPED:
        return _skipped(result, evidence)
    return _verdict(reasons, evidence)


def _ending(evidence: Evidence) -> list[str]:
    """How a program ended that did not end well; a shell's status is 128 + N after signal N."""
    status = evidence.status
    if not status:
        return []
    how = f"signal {status - 128}" if status > 128 else f"status {status}"
    return [f"{evidence.command}: ended by {how}"]


def _last(lines: Sequence[str]) -> list[str]:
    return [f"  | {line}" for line in lines[-5:]]


_NOT_HERE = (3, 4)
"""stress-ng(1): no resources for a stressor, or it is not implemented."""


def judge_soak(evidence: Evidence, name: str) -> Verdict:
    """Judge what the stressor NAME of stress-ng leaves, in a guest that has to be sound afterwards.

    It has to have done something, by its own count (--metrics-brief), and found its memory as it was (--verify).
    """
    last = _last([line for line in evidence.output.splitlines() if not line.startswith("#")])
    if evidence.status in _NOT_HERE:
        said = " ".join(line.removeprefix("  | ") for line in last)
        return skipped(f"{name}: stress-ng cannot do that here: {said}", evidence)
    reasons = health(evidence, TAINT_OOT_MODULE) + _scan(evidence) + _ending(evidence)
    done = re.search(r"metrc: \[\d+\] \S+ +(\d+) ", evidence.output)
    if not evidence.death and (done is None or done[1] == "0"):
        reasons.append(f"{name} has done nothing")
    return _verdict([*reasons, *last], evidence) if reasons else _verdict([], evidence)


REPORT = "(report)"
GUEST = "(guest)"
"""Sub-tests that every test of the kernel has for us: its report is whole, its guest is sound afterwards."""


def told(evidence: Evidence, name: str, says: str = "", in_log: bool = False) -> dict[str, str]:
    """What one of the kernel's own tests tells of its sub-tests: "passed", or what else and why.

    It writes KTAP, to the kernel's log where it is IN_LOG, or is called NAME and writes a line like SAYS. Of several
    sub-tests with one name the later ones are numbered.
    """
    if says:
        said = any(re.search(says, record.text) for record in evidence.records)
        outcomes, errors = {name: PASSED if said else f"failed: no line like {says}"}, []
    else:
        found = ktap.parse([record.text for record in evidence.records] if in_log else evidence.output.splitlines())
        outcomes, errors = _outcomes(found), list(found.errors)
    sound = health(evidence, KUNIT_TAINT) + _scan(evidence)
    return {
        GUEST: f"failed: {'; '.join(sound)}" if sound else PASSED,
        REPORT: f"failed: {'; '.join(errors)}" if errors else PASSED,
    } | outcomes


def _scan(evidence: Evidence) -> list[str]:
    """What the probe's scan says of pages that have to look frozen and do not; it must have been asked."""
    match = re.search(r"^# \S+/kg_probe/scan: bad (\d+)", evidence.output, re.MULTILINE)
    if match is None:
        return ["the pages were not looked at"]
    return [] if match[1] == "0" else [f"{match[1]} pages that have to look frozen do not"]


def _outcomes(found: ktap.Report) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    for leaf in found.leaves():
        if leaf.status is ktap.Status.MISSING:
            continue  # it has no name; the report has it among its errors
        called = leaf.name or leaf.reason  # kselftest.h: "ok 3 # SKIP" and the name
        times = sum(name == called or name.startswith(f"{called} (again") for name in outcomes)
        name = f"{called} (again, {times})" if times else called
        why = leaf.reason or " ".join(leaf.diagnostics[-3:])
        outcomes[name] = PASSED if leaf.status is ktap.Status.PASSED else f"{leaf.status.value}: {why}"
    return outcomes


def judge_recorded(evidence: Evidence, outcomes: dict[str, str], name: str, recorded: dict[str, str]) -> Verdict:
    """Judge the sub-test NAME by what it does without a series (RECORDED): only a change is a verdict about one.

    What is skipped or fails there as well is skipped here. The report is not as recorded either where it has
    sub-tests that nobody has recorded; a guest that is not sound has to be so in the same way.
    """
    now, before = outcomes.get(name, "missing: no result line"), recorded[name]
    reasons = []
    if now != before if name == GUEST else _kind(now) != _kind(before):
        reasons.append(f"{name}: {now}; without a series: {before}")
    if name == REPORT:
        reasons += [f"not in the baseline: {new}: {outcomes[new]}" for new in outcomes if new not in recorded]
    if reasons:
        return _verdict([*reasons, *(health(evidence, KUNIT_TAINT) if name != GUEST else ())], evidence)
    if before == PASSED:
        return Verdict(Outcome.PASSED, (), (), evidence)
    return Verdict(Outcome.SKIPPED, (f"as without a series: {before}",), (), evidence)


def _kind(outcome: str) -> str:
    return outcome.partition(":")[0]


def judge_survival(evidence: Evidence, said: str) -> list[str]:
    """Why a call that must be silent was not: SAID is the line that proves that it came back."""
    return health(evidence, TAINT_OOT_MODULE) or _return(evidence, said)


def _return(evidence: Evidence, said: str) -> list[str]:
    reasons = []
    if evidence.status:
        reasons.append(f"{evidence.command}: status {evidence.status} {evidence.output.strip()}")
    if not any(said in record.text for record in evidence.records):
        reasons.append(f"no line '{said}' in the log: did the call return?")
    return reasons


def judge_trigger(evidence: Evidence, wanted: Sequence[Complaint], said: str, line_of: LineOf) -> list[str]:
    """Why a trigger did not bring about the complaints WANTED, in their order, and nothing else (promise 4).

    After a KERNEL_BUG the guest must have ended by it; else the call must have come back, as SAID tells.

    The guest runs with panic_on_oops, so that a death ends it. What a task does after an oops is not sound
    on every architecture: 7.2 on arm64 warns of its own do_exit() (arch/arm64/kernel/process.c, __switch_to()).
    """
    if not wanted:
        return judge_survival(evidence, said)
    splats = evidence.splats
    if not splats:
        return [evidence.death or f"{wanted[0].condition} did not fire"]
    reasons = [f"besides what was asked for: {title}" for title in _titles(splats[len(wanted) :])]
    reasons += [f"{complaint.condition} did not fire" for complaint in wanted[len(splats) :]]
    for complaint, splat in zip(wanted, splats, strict=False):
        reasons += complaint.differs(splat, line_of)
    deadly = wanted[-1].kind is Kind.KERNEL_BUG
    return reasons + (_fatality(evidence) if deadly else _warned_survival(evidence, said))


def _fatality(evidence: Evidence) -> list[str]:
    if _FATAL.search(evidence.death):
        return []
    return [f"asked for a panic of that death, got {evidence.death or 'a guest that goes on'}"]


def _warned_survival(evidence: Evidence, said: str) -> list[str]:
    """Why a guest that was to warn and to go on did not do both."""
    if evidence.death:
        return [evidence.death]
    if evidence.status is None or evidence.taint_after is None:
        return ["the guest never answered"]
    reasons = _state(evidence, TAINT_OOT_MODULE | TAINT_WARN) + _return(evidence, said)
    if not evidence.taint_after & TAINT_WARN:
        reasons.append("the kernel is not tainted W: it has not warned")
    return reasons


def judge_dump(evidence: Evidence, reason: str, words: Sequence[str], said: str) -> list[str]:
    """Why a call that SAID it came back did not dump one page, for REASON and with all of WORDS, and nothing else."""
    if evidence.death or evidence.status is None or evidence.taint_after is None:
        return health(evidence, TAINT_OOT_MODULE)
    dumps = [splat for splat in evidence.splats if splat.kind is Kind.PAGE_DUMP and splat.condition == reason]
    reasons = [f"besides the dump: {title}" for title in _titles([s for s in evidence.splats if s not in dumps])]
    if len(dumps) != 1:
        reasons.append(f"asked for one page dump, got {len(dumps)}")
    lines = "\n".join(line for dump in dumps for line in dump.lines)
    reasons += [f"the dump does not say '{word}'" for word in words if word not in lines]
    return reasons + _state(evidence, TAINT_OOT_MODULE) + _return(evidence, said)


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
    """One line a splat, or for several of the same title in a row, which may be thousands."""
    titles = [f"{splat.title}{' (follows from the death before it)' * splat.aftermath}" for splat in splats]
    counted = [(title, len(list(same))) for title, same in groupby(titles)]
    return [title if count == 1 else f"{title} ({count} times)" for title, count in counted]


def _diagnostics(result: ktap.Result) -> list[str]:
    """What the case itself said of its failure."""
    said = [line.strip() for line in result.diagnostics if line.strip()]
    return said or [f"{result.name}: {result.status.value} without a word"]
