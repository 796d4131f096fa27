# SPDX-License-Identifier: GPL-2.0-only
"""Which patch of a series brought a failure, or mended it, and how sure that is.

Which patch to try next is git's to say (git-bisect(1)); what its answer rests on is kept
here, as counts of runs by patch level. A level that showed the failure has it. One that
did not may have been lucky, where the failure is not there each time: so it is tried as
often as the failures seen so far make needful, and what doubt is left goes into the answer.

The doubt. Let the failure show itself in each run of a kernel that has it with the same
unknown probability p, and never on one that has not; before any run, p is Beta(1/2, 1/2)
(Jeffreys) and each patch as likely as any other to be the culprit, and so is the base (a
failure that has been there all along). If patch c is it, the levels that have the failure
are those from c on. With f failures on all levels together, and s(c) passes on those that
would have it, the likelihood of c is

    integral of p^f (1-p)^s(c) over Beta(1/2, 1/2)  =  B(f + 1/2, s(c) + 1/2) / B(1/2, 1/2)

and 0 where a level below c has failed. The confidence in an answer is its likelihood over the
sum of all. In the same way the chance that a level with the failure passes k more runs is
B(f + 1/2, s + k + 1/2) / B(f + 1/2, s + 1/2), of f failures and s passes on levels that have
it: the number of runs is the smallest k that makes this smaller than the risk that is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from kernelgate.errors import InfrastructureError, UserError
from kernelgate.failure import Failure, shows
from kernelgate.git import Repository
from kernelgate.report import ERROR, FAILED, PASSED
from kernelgate.runs import Item

CONFIDENCE = 0.95
"""How sure an answer is to be, where nothing had to be skipped."""

ENOUGH_FAILURES = 5
"""So many failures at the end that has them say well enough how often it fails."""

END_RUNS = 40
"""More runs than this are not spent on that."""

MOST_RUNS = 100
"""No level is tried more often than this at a time."""

ROUNDS = 4
"""How often the level beside the culprit is tried again for more confidence."""


class Find(Enum):
    """What is looked for: the patch that broke something, or the one that mended it."""

    BROKEN = "broken"
    FIXED = "fixed"

    @property
    def terms(self) -> tuple[str, str]:
        """What git shall call a level before the change, and one after it."""
        return ("good", "bad") if self is Find.BROKEN else ("broken", "fixed")


class Mark(Enum):
    """What is known of a level; only GOOD and BAD say on which side of the change it is."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    INFRASTRUCTURE = "infrastructure"
    OPEN = "open"


@dataclass(frozen=True)
class Seen:
    """What the runs of one level came to, seconds on the clock.

    failed: in the way that is chased; others: why it could not be judged (another failure, no build, skipped);
    lost: what kept runs from being judged that is not the kernel's.
    """

    failed: int = 0
    passed: int = 0
    others: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    seconds: float = 0.0

    def __add__(self, more: Seen) -> Seen:
        return Seen(
            self.failed + more.failed, self.passed + more.passed, self.others + more.others, self.lost + more.lost,
            self.seconds + more.seconds,
        )  # fmt: skip


def judge(items: Sequence[Item], name: str, chased: Failure, failure_of: Callable[[Item], Failure]) -> Seen:
    """What the runs of the item NAME among ITEMS say about the failure CHASED."""
    seen = Seen()
    for item in (item for item in items if item.name == name):
        seen += _one(item, chased, failure_of)
    return seen if seen != Seen() else Seen(lost=(f"{name} was not run",))


def _one(item: Item, chased: Failure, failure_of: Callable[[Item], Failure]) -> Seen:
    if item.outcome == PASSED:
        return Seen(passed=1)
    if item.outcome == ERROR:
        return Seen(lost=(_first_line(item.detail),))
    if item.outcome != FAILED or not item.folder:
        return Seen(others=(f"{item.outcome}: {_first_line(item.detail)}",))
    found = failure_of(item)
    return Seen(failed=1) if shows(chased, found) else Seen(others=(f"another failure: {found}",))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def mark(seen: Seen, wanted: int) -> Mark:
    """What SEEN says of a level that is to pass WANTED runs before it is taken for good.

    A run that was lost says nothing: where only such runs are missing, the level is not guessed.
    """
    if seen.failed:
        return Mark.BAD
    if seen.others:
        return Mark.SKIP
    if seen.passed >= wanted:
        return Mark.GOOD
    return Mark.INFRASTRUCTURE if seen.lost else Mark.OPEN


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def luck(failed: int, passed: int, more: int) -> float:
    """The chance that MORE runs of a level all pass though it has what FAILED and PASSED other runs were seen with."""
    return math.exp(_log_beta(failed + 0.5, passed + more + 0.5) - _log_beta(failed + 0.5, passed + 0.5))


def repeats(failed: int, passed: int, risk: float) -> int:
    """How many runs a level must pass so that the chance of mere luck is at most RISK; at most MOST_RUNS."""
    return next((k for k in range(1, MOST_RUNS) if luck(failed, passed, k) <= risk), MOST_RUNS)


def risk(total: int, confidence: float) -> float:
    """The risk to take with each level, of some log2(TOTAL) that pass, for that CONFIDENCE in the end."""
    return (1 - confidence) / (math.ceil(math.log2(total + 1)) + 1)


def has_it(level: int, culprit: int, find: Find) -> bool:
    """Whether LEVEL shows the failure at all if CULPRIT is the patch that is looked for."""
    return level >= culprit if find is Find.BROKEN else level < culprit


def posterior(seen: Mapping[int, Seen], total: int, find: Find) -> dict[int, float]:
    """The probability of each patch to be the one; 0 (broken) or TOTAL + 1 (fixed) stands for none of them."""
    candidates = range(total + 1) if find is Find.BROKEN else range(1, total + 2)
    weights = {culprit: _likelihood(seen, culprit, find) for culprit in candidates}
    highest = max(weights.values())
    if highest == -math.inf:
        return dict.fromkeys(candidates, 0.0)
    scaled = {culprit: math.exp(weight - highest) for culprit, weight in weights.items()}
    return {culprit: weight / sum(scaled.values()) for culprit, weight in scaled.items()}


def _likelihood(seen: Mapping[int, Seen], culprit: int, find: Find) -> float:
    """The logarithm of the likelihood of CULPRIT."""
    with_it = [runs for level, runs in seen.items() if has_it(level, culprit, find)]
    without = [runs for level, runs in seen.items() if not has_it(level, culprit, find)]
    if any(runs.failed for runs in without):
        return -math.inf
    return _log_beta(sum(runs.failed for runs in with_it) + 0.5, sum(runs.passed for runs in with_it) + 0.5)


def consistent(marks: Mapping[int, Mark], find: Find) -> dict[int, Mark]:
    """MARKS without the good ones that a bad one elsewhere shows to have been luck."""
    bad = [level for level, what in marks.items() if what is Mark.BAD]
    if not bad:
        return dict(marks)
    first, last = (min(bad), math.inf) if find is Find.BROKEN else (-math.inf, max(bad))
    return {level: what for level, what in marks.items() if what is not Mark.GOOD or not first <= level <= last}


# git


@dataclass(frozen=True)
class Next:
    """What git wants: the level to try, or the patches of which one is the first; no level then."""

    level: int | None = None
    among: tuple[int, ...] = ()


@dataclass(frozen=True)
class Steps:
    """git-bisect over COMMITS, one a level from the base on, in the bare REPOSITORY."""

    repository: Repository
    commits: tuple[str, ...]

    @classmethod
    def create(cls, folder: Path, source: Path, commits: Sequence[str]) -> Steps:
        """In a new repository FOLDER that borrows the objects of SOURCE, which is left as it is."""
        repository = Repository(folder)
        if not (folder / "HEAD").is_file():
            repository = Repository.create(folder)
        (folder / "objects/info").mkdir(parents=True, exist_ok=True)
        (folder / "objects/info/alternates").write_text(f"{(source / 'objects').absolute()}\n", encoding="utf-8")
        repository.keep("series", commits[-1])
        repository.git("symbolic-ref", "HEAD", "refs/heads/series")
        return cls(repository, tuple(commits))

    def next(self, marks: Mapping[int, Mark], find: Find) -> Next:
        """What git says after MARKS, given in their order; the ends need not be among them."""
        before, after = find.terms
        words = ("--no-checkout", f"--term-old={before}", f"--term-new={after}")
        self.repository.git("bisect", "reset", check=False)
        said = self.repository.git("bisect", "start", *words, self.commits[-1], self.commits[0]).stdout
        for level, what in marks.items():
            if 0 < level < len(self.commits) - 1 and (term := self._term(what, find)):
                said = self.repository.git("bisect", term, self.commits[level], check=False).stdout
        return self._read(said, after)

    def log(self) -> str:
        """What `git bisect replay` takes."""
        return self.repository.git("bisect", "log").stdout

    def diffstat(self, level: int) -> str:
        """Which files the patch of LEVEL touches, and how much."""
        return self.repository.git("show", "--stat=100", "--format=", self.commits[level]).stdout.rstrip()

    def _term(self, what: Mark, find: Find) -> str:
        before, after = find.terms
        good, bad = (before, after) if find is Find.BROKEN else (after, before)
        return {Mark.GOOD: good, Mark.BAD: bad, Mark.SKIP: "skip"}.get(what, "")

    def _read(self, said: str, after: str) -> Next:
        if found := re.search(rf"^([0-9a-f]{{40}}) is the first {after} commit$", said, re.MULTILINE):
            return Next(among=(self.commits.index(found[1]),))
        if "only 'skip'ped commits left" in said:
            named = re.findall(r"^([0-9a-f]{40})$", said, re.MULTILINE)
            return Next(among=tuple(sorted(self.commits.index(commit) for commit in named)))
        head = self.repository.git("rev-parse", "--verify", "BISECT_HEAD").stdout.strip()
        return Next(level=self.commits.index(head))


# The search


Try = Callable[[int, int], Seen]
"""Runs a level so many times, or fewer where one fails."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """The patches of which one is looked for, usually one; each with its probability; what was seen of each level."""

    among: tuple[int, ...]
    probability: Mapping[int, float]
    seen: Mapping[int, Seen]
    notes: tuple[str, ...] = ()

    @property
    def culprit(self) -> int | None:
        return self.among[0] if len(self.among) == 1 else None

    @property
    def confidence(self) -> float:
        """That one of `among` is it."""
        return sum(self.probability[level] for level in self.among)


@dataclass
class Search:
    """One search; SEEN is what is known of the levels already, and grows."""

    steps: Steps
    find: Find
    try_: Try
    seen: dict[int, Seen] = field(default_factory=dict)
    confidence: float = CONFIDENCE
    say: Say = lambda _line: None

    @property
    def total(self) -> int:
        return len(self.steps.commits) - 1

    @property
    def failing_end(self) -> int:
        return self.total if self.find is Find.BROKEN else 0

    @property
    def passing_end(self) -> int:
        return self.total - self.failing_end

    def run(self) -> Answer:
        """The answer.

        Raises UserError where the ends are not as they have to be, InfrastructureError where the place it runs in
        kept a level from being judged.
        """
        self._weigh_failing_end()
        notes: list[str] = []
        while True:
            self._check_passing_end()  # it may fail by and by
            found = self.steps.next(self._marks(), self.find)
            if found.level is not None:
                self._decide(found.level)
            elif len(found.among) > 1 or self._stands(found.among[0], notes):
                return Answer(found.among, posterior(self.seen, self.total, self.find), self.seen, tuple(notes))

    def _weigh_failing_end(self) -> None:
        """Try the end that fails until it is known how often it does."""
        while (missing := end_runs(self.seen.get(self.failing_end, Seen()))) > 0:
            self._try(self.failing_end, missing)
        seen = self.seen[self.failing_end]
        if not seen.failed and seen.lost:
            raise InfrastructureError(f"{self._name(self.failing_end)} could not be judged: {seen.lost[-1]}")
        if not seen.failed:
            where = "the whole series" if self.find is Find.BROKEN else "the base"
            raise UserError(f"{where} passes: there is no failure to chase; one that is rare wants more --tries")

    def _check_passing_end(self) -> None:
        what = self._mark_of(self.passing_end)
        if what is Mark.BAD and self.find is Find.BROKEN:
            raise UserError(
                "the base already fails: no patch of the series broke it; --find fixed asks which mended it"
            )
        if what is Mark.BAD:
            raise UserError(
                "the whole series still fails: no patch of it mended that; --find broken asks which broke it"
            )
        if what is Mark.SKIP:
            raise UserError(
                f"{self._name(self.passing_end)} cannot be judged: {self.seen[self.passing_end].others[-1]}"
            )

    def _decide(self, level: int) -> None:
        what = self._mark_of(level)
        self.say(f"level {level}: {what.value}{self._why(level)}")

    def _mark_of(self, level: int) -> Mark:
        """Try LEVEL until it can be marked. Raises InfrastructureError where only lost runs are left to decide it."""
        self.seen[level] = replace(self.seen.get(level, Seen()), lost=())
        while (what := mark(self.seen[level], self._wanted())) is Mark.OPEN:
            self._try(level, self._wanted() - self.seen[level].passed)
        if what is Mark.INFRASTRUCTURE:
            raise InfrastructureError(f"{self._name(level)} could not be judged: {self.seen[level].lost[-1]}")
        return what

    def _stands(self, culprit: int, notes: list[str]) -> bool:
        """Whether CULPRIT is still the answer after it and the level beside it have been tried again."""
        fails, passes = (culprit, culprit - 1) if self.find is Find.BROKEN else (culprit - 1, culprit)
        notes.clear()
        if self._again(fails, self._wanted()).failed == 0:
            notes.append(f"level {fails} did not fail again in {self._wanted()} runs")
        for _ in range(ROUNDS):
            if self._again(passes, self._wanted()).failed:
                self.say(f"level {passes}: bad, after all")
                return False
            if posterior(self.seen, self.total, self.find)[culprit] >= self.confidence:
                break
        return True

    def _again(self, level: int, runs: int) -> Seen:
        """What RUNS more of LEVEL came to. Raises InfrastructureError where all were lost."""
        before = self.seen[level]
        self._try(level, runs)
        after = self.seen[level]
        more = Seen(after.failed - before.failed, after.passed - before.passed)
        if more == Seen() and after.lost:
            raise InfrastructureError(f"{self._name(level)} could not be tried again: {after.lost[-1]}")
        return more

    def _try(self, level: int, runs: int) -> None:
        self.seen[level] = self.seen.get(level, Seen()) + self.try_(level, runs)

    def _wanted(self) -> int:
        """How many runs a level has to pass."""
        bad = [seen for seen in self.seen.values() if seen.failed]
        failed, passed = sum(seen.failed for seen in bad), sum(seen.passed for seen in bad)
        return repeats(failed, passed, risk(self.total, self.confidence))

    def _marks(self) -> dict[int, Mark]:
        wanted = self._wanted()
        return consistent({level: mark(seen, wanted) for level, seen in self.seen.items()}, self.find)

    def _why(self, level: int) -> str:
        seen = self.seen[level]
        counts = f", {seen.failed} of {seen.failed + seen.passed} runs failed" if seen.failed + seen.passed else ""
        return counts + "".join(f"; {other}" for other in dict.fromkeys(seen.others))

    def _name(self, level: int) -> str:
        return f"level {level} of {self.total}"


def end_runs(seen: Seen) -> int:
    """How many more runs the failing end is worth, of which SEEN is known: until it failed often enough."""
    if seen.others or seen.lost or seen.failed + seen.passed >= END_RUNS:
        return 0
    return max(0, ENOUGH_FAILURES - seen.failed)
