# SPDX-License-Identifier: GPL-2.0-only
"""The search for a patch: its arithmetic by hand, its steps with the real git, its honesty over many made-up kernels.

What runs a kernel is made up here (`Kernels`): a real one takes minutes a level. scripts/bisect runs the real one.
"""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_kernel import change, git, repository

from kernelgate.bisect import (
    ENOUGH_FAILURES,
    Answer,
    Find,
    Mark,
    Next,
    Search,
    Seen,
    Steps,
    consistent,
    end_runs,
    has_it,
    judge,
    luck,
    mark,
    posterior,
    repeats,
    risk,
)
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.failure import Failure
from kernelgate.git import Repository
from kernelgate.runs import Item

PATCHES = 16


# Counting


@pytest.mark.parametrize(
    ("failed", "passed", "more", "by_hand"),
    [
        (5, 0, 1, 1 / 12),  # (0 + 1/2) / (5 + 0 + 1)
        (5, 0, 2, 1 / 56),  # ... * (1 + 1/2) / 7
        (0, 0, 1, 1 / 2),
        (1, 4, 1, 4.5 / 6),
    ],
)
def test_the_chance_of_luck(failed: int, passed: int, more: int, by_hand: float) -> None:
    assert luck(failed, passed, more) == pytest.approx(by_hand)


def test_rare_failures_want_more_runs_than_steady_ones() -> None:
    assert repeats(5, 0, 1 / 12 + 1e-9) == 1
    assert repeats(5, 0, 0.02) == 2
    flaky = repeats(5, 20, 0.02)
    chances = list(itertools.accumulate(((20.5 + run) / (26 + run) for run in range(flaky)), operator.mul))
    assert chances[-1] <= 0.02 < chances[-2]
    assert flaky == 24


def test_a_failure_that_nearly_never_shows_is_not_tried_forever() -> None:
    assert repeats(1, 1000, 0.001) == 100


def test_the_risk_is_shared_among_the_levels() -> None:
    assert risk(16, 0.95) == pytest.approx(0.05 / 6)
    assert risk(1, 0.95) == pytest.approx(0.05 / 2)


def test_the_failing_end_is_tried_until_it_failed_often_enough() -> None:
    assert end_runs(Seen()) == ENOUGH_FAILURES
    assert end_runs(Seen(failed=1, passed=4)) == 4
    assert end_runs(Seen(failed=5)) == 0
    assert end_runs(Seen(passed=40)) == 0
    assert end_runs(Seen(lost=("disk full",))) == 0


def test_the_probability_of_each_patch() -> None:
    found = posterior({2: Seen(failed=5), 0: Seen(passed=3), 1: Seen(failed=1)}, 2, Find.BROKEN)
    # against patch 1, the base must have passed three times by luck: 1/2 * 3/2 * 5/2 / (7 * 8 * 9)
    assert found[1] == pytest.approx(504 / (504 + 1.875))
    assert found[2] == 0
    assert sum(found.values()) == pytest.approx(1)


def test_what_could_not_be_judged_leaves_its_patch_and_the_next_alike() -> None:
    seen = {0: Seen(passed=9), 1: Seen(passed=9), 2: Seen(others=("does not build",)), 3: Seen(failed=9)}
    found = posterior(seen, 3, Find.BROKEN)
    assert found[2] == pytest.approx(found[3])
    assert found[2] + found[3] > 0.99


def test_a_mended_failure_is_looked_for_the_other_way_round() -> None:
    found = posterior({0: Seen(failed=5), 1: Seen(failed=1), 2: Seen(passed=4)}, 2, Find.FIXED)
    assert found[2] > 0.99
    assert found[1] == 0  # level 1 has failed, so that patch 1 has not mended it
    assert found[3] > 0  # none of them has


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(failed=1, passed=9), Mark.BAD),
        (Seen(failed=1, others=("oops",)), Mark.BAD),
        (Seen(passed=3), Mark.GOOD),
        (Seen(passed=3, lost=("disk full",)), Mark.GOOD),
        (Seen(passed=2), Mark.OPEN),
        (Seen(passed=2, lost=("disk full",)), Mark.INFRASTRUCTURE),
        (Seen(lost=("disk full",)), Mark.INFRASTRUCTURE),
        (Seen(passed=9, others=("another failure",)), Mark.SKIP),
    ],
)
def test_what_is_known_of_a_level(seen: Seen, expected: Mark) -> None:
    assert mark(seen, wanted=3) is expected


def test_a_pass_beyond_a_failure_was_luck() -> None:
    marks = {1: Mark.GOOD, 3: Mark.BAD, 4: Mark.SKIP, 6: Mark.GOOD}
    assert consistent(marks, Find.BROKEN) == {1: Mark.GOOD, 3: Mark.BAD, 4: Mark.SKIP}
    assert consistent(marks, Find.FIXED) == {3: Mark.BAD, 4: Mark.SKIP, 6: Mark.GOOD}
    assert consistent({2: Mark.GOOD}, Find.BROKEN) == {2: Mark.GOOD}


CHASED = Failure((), ("kg_numa.c:77",), "failed: x: EXPECTATION FAILED at kg_numa.c:N")
OTHER = Failure((), ("kg_numa.c:99",), "failed: x: EXPECTATION FAILED at kg_numa.c:N")


def test_runs_are_counted_by_what_they_show() -> None:
    def item(outcome: str, folder: str = "", name: str = "f.py::test_a") -> Item:
        return Item(name, "NUMA-01", outcome, f"{outcome} words\nmore", folder)

    items = [item("passed"), item("failed", "same"), item("failed", "other"), item("lost"), item("skipped")]
    items += [item("failed", ""), item("failed", "same", "f.py::test_b")]
    found = judge(items, "f.py::test_a", CHASED, lambda item: CHASED if item.folder == "same" else OTHER)
    assert (found.failed, found.passed, found.lost) == (1, 1, ("lost words",))
    assert found.others == (f"another failure: {OTHER}", "skipped: skipped words", "failed: failed words")


def test_an_item_that_was_not_run_is_lost() -> None:
    found = judge([], "f.py::test_a", CHASED, lambda item: CHASED)
    assert mark(found, 1) is Mark.INFRASTRUCTURE


# git


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A repository with PATCHES commits on its base, and all of these."""
    repo = repository(tmp_path_factory.mktemp("linux") / "repo")
    for number in range(1, PATCHES + 1):
        change(repo, f"mm: patch {number}", f"line {number}\n", f"LINE {number}\n")
    return repo, tuple(git(repo, "rev-list", "--reverse", "HEAD").split())


def steps_of(series: tuple[Path, tuple[str, ...]], folder: Path, total: int = PATCHES) -> Steps:
    return Steps.create(folder / "git", series[0] / ".git", series[1][: total + 1])


def test_git_halves_what_is_left(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    steps = steps_of(series, tmp_path)
    assert steps.next({}, Find.BROKEN) == Next(level=8)
    assert steps.next({8: Mark.BAD}, Find.BROKEN) == Next(level=4)
    assert steps.next({8: Mark.BAD, 4: Mark.GOOD}, Find.BROKEN) == Next(level=6)
    assert steps.next({8: Mark.BAD, 4: Mark.GOOD, 6: Mark.GOOD, 7: Mark.GOOD}, Find.BROKEN) == Next(among=(8,))
    assert steps.next({8: Mark.BAD}, Find.FIXED) == Next(level=12)


def test_one_patch_is_its_own_culprit(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    assert steps_of(series, tmp_path, 1).next({}, Find.BROKEN) == Next(among=(1,))


def test_levels_that_cannot_be_judged_are_passed_over(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    steps = steps_of(series, tmp_path, 4)
    assert steps.next({2: Mark.SKIP}, Find.BROKEN).level in (1, 3)
    left = steps.next({2: Mark.SKIP, 1: Mark.GOOD, 3: Mark.SKIP}, Find.BROKEN)
    assert left == Next(among=(2, 3, 4))


@pytest.mark.parametrize("find", Find)
def test_git_itself_takes_the_log(series: tuple[Path, tuple[str, ...]], tmp_path: Path, find: Find) -> None:
    steps = steps_of(series, tmp_path)
    marks = {8: Mark.BAD, 4: Mark.GOOD, 6: Mark.SKIP} if find is Find.BROKEN else {8: Mark.GOOD, 4: Mark.BAD}
    wanted = steps.next(marks, find)
    log = tmp_path / "log"
    log.write_text(steps.log())
    other = Repository(
        Path(git(series[0], "clone", "-q", "--bare", ".", str(tmp_path / "clone")) or tmp_path / "clone")
    )
    other.git("bisect", "replay", str(log))
    assert other.git("rev-parse", "BISECT_HEAD").stdout.strip() == series[1][wanted.level or 0]
    assert f"git bisect {find.terms[1]} {series[1][8]}" in log.read_text()


def test_the_repository_of_the_series_is_left_alone(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    before = git(series[0], "for-each-ref"), sorted(path.name for path in (series[0] / ".git").iterdir())
    steps_of(series, tmp_path).next({8: Mark.BAD}, Find.BROKEN)
    assert before == (git(series[0], "for-each-ref"), sorted(path.name for path in (series[0] / ".git").iterdir()))


def test_the_patch_is_shown(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    assert "mm/gup.c | 2 +-" in steps_of(series, tmp_path).diffstat(3)


# Searching


class Halves:
    """In place of git, for hundreds of searches: the level in the middle."""

    def __init__(self, total: int) -> None:
        self.commits = tuple(str(level) for level in range(total + 1))

    def next(self, marks: Mapping[int, Mark], find: Find) -> Next:
        old = Mark.GOOD if find is Find.BROKEN else Mark.BAD
        known = {level: what is old for level, what in marks.items() if what in (Mark.GOOD, Mark.BAD)}
        last = len(self.commits) - 1
        low = max([0, *(level for level, is_old in known.items() if is_old and level < last)])
        high = min([last, *(level for level, is_old in known.items() if not is_old and level)])
        return Next(among=(high,)) if high - low == 1 else Next(level=(low + high) // 2)


@dataclass
class Kernels:
    """Kernels of which those that have the failure show it at random; broken ones do not build; where lost says so,
    nothing can be known."""

    culprit: int
    find: Find = Find.BROKEN
    often: float = 1.0
    broken: tuple[int, ...] = ()
    lost: Callable[[int], bool] = lambda level: False
    random: random.Random = field(default_factory=lambda: random.Random(1))
    tried: list[int] = field(default_factory=list)

    def __call__(self, level: int, runs: int) -> Seen:
        self.tried.append(level)
        if level in self.broken:
            return Seen(others=("does not build",))
        if self.lost(level):
            return Seen(lost=("no space left",))
        weighed = level == (PATCHES if self.find is Find.BROKEN else 0)
        seen = Seen()
        for _ in range(runs):
            failed = has_it(level, self.culprit, self.find) and self.random.random() < self.often
            seen += Seen(failed=int(failed), passed=int(not failed))
            if failed and not weighed:
                break
        return seen


@pytest.mark.parametrize(("find", "culprit"), [*itertools.product(Find, (1, 2, 7, 8, 15, 16))])
def test_each_patch_is_found(series: tuple[Path, tuple[str, ...]], tmp_path: Path, find: Find, culprit: int) -> None:
    kernels = Kernels(culprit, find)
    answer = Search(steps_of(series, tmp_path), find, kernels).run()
    assert answer.culprit == culprit
    assert answer.confidence > 0.99
    assert len(set(kernels.tried)) <= 2 + 4  # the ends, and log2(16) between them


def test_two_that_do_not_build_are_stepped_over(series: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    answer = Search(steps_of(series, tmp_path), Find.BROKEN, Kernels(5, broken=(8, 9))).run()
    assert answer.culprit == 5
    assert answer.seen[8].others == ("does not build",)


def test_where_they_are_beside_the_culprit_several_are_named(
    series: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    answer = Search(steps_of(series, tmp_path), Find.BROKEN, Kernels(8, broken=(8, 9))).run()
    assert answer.culprit is None
    assert answer.among == (8, 9, 10)
    assert [round(answer.probability[level], 2) for level in answer.among] == [0.33, 0.33, 0.33]


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (Kernels(0), "the base already fails"),
        (Kernels(17), "the whole series passes"),
        (Kernels(17, Find.FIXED), "the whole series still fails"),
        (Kernels(0, Find.FIXED), "the base passes"),
        (Kernels(5, broken=(0,)), "level 0 of 16 cannot be judged: does not build"),
    ],
)
def test_ends_that_are_not_so_are_refused(kernels: Kernels, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        search(kernels).run()
    assert "\n" not in str(caught.value)


def search(kernels: Kernels, seen: dict[int, Seen] | None = None, confidence: float = 0.95) -> Search:
    return Search(Halves(PATCHES), kernels.find, kernels, seen or {}, confidence)  # type: ignore[arg-type]


def test_a_level_that_the_place_has_spoilt_is_not_guessed() -> None:
    kernels = Kernels(5, lost=lambda level: level == 4)
    stopped = search(kernels)
    with pytest.raises(InfrastructureError, match="level 4 of 16 could not be judged: no space left"):
        stopped.run()
    known = dict(stopped.seen)
    kernels.lost, kernels.tried = (lambda level: False), []
    assert search(kernels, known).run().culprit == 5
    assert 8 not in kernels.tried  # what was known of it still holds
    assert 4 in kernels.tried


def test_a_lucky_level_is_found_out_when_it_is_tried_again() -> None:
    """Level 4 passes at first though it has the failure; tried again beside the supposed culprit 5, it fails."""
    kernels = Kernels(4)
    lied: list[int] = []

    def lying(level: int, runs: int) -> Seen:
        if level == 4 and not lied:
            lied.append(level)
            return Seen(passed=runs)
        return kernels(level, runs)

    tried_again = search(kernels)
    tried_again.try_ = lying
    assert tried_again.run().culprit == 4
    assert lied


def test_a_base_that_fails_once_it_is_tried_again_is_refused() -> None:
    kernels = Kernels(1)

    def late(level: int, runs: int) -> Seen:
        return Seen(failed=1) if level == 0 and kernels.tried.count(1) else kernels(level, runs)

    tried_again = search(kernels)
    tried_again.try_ = late
    with pytest.raises(UserError, match="the base already fails"):
        tried_again.run()


def right(answers: list[tuple[int, Answer]]) -> float:
    return sum(answer.culprit == culprit for culprit, answer in answers) / len(answers)


@pytest.mark.parametrize("find", Find)
@pytest.mark.parametrize("often", [1.0, 0.5, 0.2])
def test_the_confidence_is_honest(find: Find, often: float) -> None:
    """Of 200 searches, at least as many are right as were to be; 0.2 is a failure in one run of five."""
    rng = random.Random(20)
    answers = []
    for _ in range(200):
        kernels = Kernels(rng.randint(1, PATCHES), find, often, random=rng)
        answers.append((kernels.culprit, search(kernels).run()))
    stated = sum(answer.confidence for _, answer in answers) / len(answers)
    assert all(answer.confidence >= 0.95 for _, answer in answers)
    assert right(answers) >= min(stated, 0.95)


@pytest.mark.parametrize("often", [0.5, 0.2])
def test_a_lower_confidence_is_as_honest(often: float) -> None:
    """Where less is asked for, some answers are wrong: no more of them than is said, but for three deviations."""
    rng = random.Random(20)
    answers = []
    for _ in range(400):
        kernels = Kernels(rng.randint(1, PATCHES), Find.BROKEN, often, random=rng)
        answers.append((kernels.culprit, search(kernels, confidence=0.6).run()))
    stated = sum(answer.confidence for _, answer in answers) / len(answers)
    assert stated < 0.99
    assert right(answers) < 1
    assert right(answers) >= stated - 3 * math.sqrt(stated * (1 - stated) / len(answers))
