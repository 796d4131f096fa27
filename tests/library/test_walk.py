# SPDX-License-Identifier: GPL-2.0-only
"""Walking a series: what each level comes to, what is not done twice, and the table.

What applies, builds and runs is made up (`Series`): real kernels take minutes. test_forward builds with the real
make, test_runs runs the real pytest, scripts/walk puts them together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from kernelgate import walk
from kernelgate.errors import BuildError, InfrastructureError, UserError
from kernelgate.runs import Item
from kernelgate.walk import NO, SAME, UNKNOWN, YES, Built, Row, Work, new_warnings

GOOD = (Item("t.py::test_boot[x86_64-smp2]", "", "passed", "", ""), Item("t.py::test_a", "FP-01", "passed", "", ""))
RED = (GOOD[0], Item("t.py::test_a", "FP-01", "failed", "FP-01 failed: a page without a count\nmore", "/folder"))
DEAD = (Item("t.py::test_a", "FP-01", "failed", "crashed: x86_64-smp2 does not boot: Kernel panic", "/folder"),)
LOST = (GOOD[0], Item("t.py::test_a", "FP-01", "lost", "disk full\nmore", ""))


@dataclass
class Series:
    """Four patches on a base; by level what is out of the ordinary of it."""

    refused: int | None = None
    broken: tuple[int, ...] = ()
    warnings: dict[int, tuple[str, ...]] = field(default_factory=dict)
    same: tuple[int, ...] = ()
    found: dict[int, Sequence[Item]] = field(default_factory=dict)
    ran: list[int] = field(default_factory=list)
    built: list[int] = field(default_factory=list)

    def work(self) -> Work:
        return Work(4, lambda level: f"patch {level}", self.apply, self.build, self.run)

    def apply(self, level: int) -> str:
        if level == self.refused:
            raise UserError(f"patch {level} 'x' does not apply to 6.1: mm/page_alloc.c, hunk 2")
        return f"commit {level}"

    def build(self, level: int, arch: str) -> Built:
        self.built.append(level)
        if level in self.broken:
            raise BuildError("build: it does not compile\nmm/a.c:1: error: no")
        kernel = level - 1 if level in self.same else level
        return Built(self.warnings.get(level, ()), f"{arch} {kernel}")

    def run(self, level: int, arch: str) -> Sequence[Item]:
        self.ran.append(level)
        found = self.found.get(level, GOOD)
        if not found:
            raise InfrastructureError("x86_64-2: the run ended with status 75: see log\nmore")
        return found


def walked(series: Series, known: Sequence[Row] = ()) -> list[Row]:
    return list(walk.rows(series.work(), ["x86_64"], known))


def test_a_sound_series_is_green() -> None:
    rows = walked(Series())
    assert [row.level for row in rows] == [0, 1, 2, 3, 4]
    assert [row.commit for row in rows] == [f"commit {level}" for level in range(5)]
    assert all(row.is_green and (row.builds, row.boots) == (YES, YES) for row in rows)
    assert rows[3].tests == {"passed": 2}
    assert (walk.exit_status(rows), walk.conclusion(rows)) == (0, "all 4 patches are green")


def test_the_first_red_patch_is_named_and_the_later_ones_are_walked_as_well() -> None:
    rows = walked(Series(found={2: RED, 4: RED}))
    assert [row.is_red for row in rows] == [False, False, True, False, True]
    assert rows[2].red == ("t.py::test_a: FP-01 failed: a page without a count",)
    assert (walk.exit_status(rows), walk.conclusion(rows)) == (1, "first red: level 2, patch 2, on x86_64")


def test_a_level_that_does_not_boot_is_red_for_that() -> None:
    row = walked(Series(found={3: DEAD}))[3]
    assert (row.boots, row.is_red) == (NO, True)


def test_a_level_that_does_not_build_is_red_and_its_successor_is_judged() -> None:
    series = Series(broken=(2,), warnings={1: ("mm/a.c:1: warning: old",), 3: ("mm/a.c:5: warning: old",)})
    rows = walked(series)
    assert (rows[2].builds, rows[2].boots, rows[2].red[1]) == (NO, UNKNOWN, "mm/a.c:1: error: no")
    assert series.ran == [0, 1, 3, 4]
    assert rows[3].warnings == ()  # it is no worse than the last one that was built
    assert not rows[3].is_red


def test_a_patch_that_does_not_apply_is_its_failure_and_the_end() -> None:
    rows = walked(Series(refused=2))
    assert [row.level for row in rows] == [0, 1, 2]
    assert (rows[2].applies, rows[2].builds) == (NO, UNKNOWN)
    assert walk.conclusion(rows) == "first red: level 2, patch 2, on x86_64"
    assert "mm/page_alloc.c, hunk 2" in walk.table(rows)


def test_warnings_that_the_level_before_had_not_are_its_failure() -> None:
    old, new = "mm/a.c:1:2: warning: unused 'x'", "mm/a.c:9:2: warning: unused 'y'"
    rows = walked(Series(warnings={0: (old,), 1: (old,), 2: (old, new), 3: (old, new)}))
    assert [row.warnings for row in rows] == [(), (), (new,), (), ()]
    assert walk.exit_status(rows) == 1


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (["mm/a.c:1:2: warning: x"], ["mm/a.c:7:2: warning: x"], []),
        (["mm/a.c:1:2: warning: x"], ["mm/b.c:1:2: warning: x"], ["mm/b.c:1:2: warning: x"]),
        (["../mm/a.c:1:2: warning: x"], ["../mm/a.c:1:2: warning: x", "../mm/a.c:3:2: warning: x"],
         ["../mm/a.c:3:2: warning: x"]),
        (["mm/a.c:1:2: warning: x", "mm/b.c:1:2: warning: y"], ["mm/a.c:1:2: warning: x"], []),
        ([], ["WARNING: modpost: vmlinux: section mismatch"], ["WARNING: modpost: vmlinux: section mismatch"]),
        (["vmlinux.o: warning: objtool: f+0x1: x"], ["vmlinux.o: warning: objtool: f+0x9: x"], []),
    ],
)  # fmt: skip
def test_warnings_are_counted_by_file(before: list[str], after: list[str], new: list[str]) -> None:
    assert list(new_warnings(before, after)) == new


def test_the_same_kernel_is_not_booted_again_and_the_table_says_so() -> None:
    series = Series(same=(2, 3), found={1: RED})
    # level 3 is level 2 again, which is level 1 again
    series.same = (2,)
    rows = walked(series)
    assert series.ran == [0, 1, 3, 4]
    assert (rows[2].boots, rows[2].like, rows[2].red) == (SAME, 1, rows[1].red)
    assert "like 1" in walk.table(rows)
    assert rows[2].is_red  # what is red stays red


def test_the_same_kernel_twice_names_the_one_that_was_booted() -> None:
    class Always(Series):
        def build(self, level: int, arch: str) -> Built:
            return Built((), f"{arch} {min(level, 1)}")

    series = Always()
    rows = walked(series)
    assert series.ran == [0, 1]
    assert [row.like for row in rows] == [None, None, 1, 1, 1]
    assert all(row.is_green for row in rows)


def test_kernels_of_which_nothing_is_known_are_all_booted() -> None:
    class Unknown(Series):
        def build(self, level: int, arch: str) -> Built:
            return Built((), "")

    series = Unknown()
    walked(series)
    assert series.ran == [0, 1, 2, 3, 4]


def test_nothing_is_taken_from_a_level_that_was_lost() -> None:
    series = Series(same=(2,), found={1: LOST})
    rows = walked(series)
    assert rows[1].lost == ("t.py::test_a: disk full",)
    assert 2 in series.ran
    assert (walk.exit_status(rows), walk.conclusion(rows)) == (75, "not judged: x86_64 1")


def test_a_run_that_the_place_has_spoilt_is_lost_and_the_walk_goes_on() -> None:
    rows = walked(Series(found={2: ()}))
    assert rows[2].lost == ("x86_64-2: the run ended with status 75: see log",)
    assert [row.is_green for row in rows] == [True, True, False, True, True]
    assert walk.exit_status(rows) == 75


def test_only_skipped_is_not_green() -> None:
    rows = walked(Series(found={2: (replace(GOOD[1], outcome="skipped"),)}))
    assert (rows[2].is_green, rows[2].is_red, rows[2].boots) == (False, False, UNKNOWN)
    assert walk.exit_status(rows) == 75


def test_known_defects_are_as_expected() -> None:
    rows = walked(Series(found={2: (replace(GOOD[1], outcome="known defects"),)}))
    assert rows[2].is_green


def test_nothing_walked_is_not_all_good() -> None:
    assert walk.exit_status([]) == 75


def test_a_walk_that_was_stopped_goes_on_where_it_was() -> None:
    """Through JSON, as scripts/walk keeps it; what was lost is tried again."""
    first = Series(found={1: LOST})
    kept = json.dumps(walk.as_tables(list(itertools.islice(walk.rows(first.work(), ["x86_64"]), 3))))
    later = Series()
    rows = walked(later, walk.from_tables(json.loads(kept)))
    assert later.ran == [1, 3, 4]
    assert later.built == [1, 3, 4]
    assert [row.level for row in rows] == [0, 1, 2, 3, 4]
    assert all(row.is_green for row in rows)


def test_each_architecture_is_walked_for_itself() -> None:
    series = Series()
    rows = list(walk.rows(series.work(), ["x86_64", "arm64"]))
    assert [(row.arch, row.level) for row in rows] == [*itertools.product(("x86_64", "arm64"), range(5))]
    assert walk.conclusion(rows) == "all 4 patches are green"


def test_the_table_has_a_line_a_level() -> None:
    lines = walk.table(walked(Series(found={2: RED}))).splitlines()
    assert lines[0].split()[:6] == ["arch", "level", "patch", "applies", "builds", "warnings"]
    assert lines[3].split()[:9] == ["x86_64", "2", "patch", "2", "yes", "yes", "-", "yes", "1"]
    assert lines[-1] == "first red: level 2, patch 2, on x86_64"


def row(level: int, build: float, tests: float) -> Row:
    return Row("x86_64", level, "", builds=YES, boots=YES, build_seconds=build, test_seconds=tests)


def test_pace_is_two_and_a_half_cold_builds_and_a_test_a_patch() -> None:
    """The median test: the first one of a walk boots everything, and one level takes long for reasons of its own."""
    rows = [row(0, 100, 30), row(1, 20, 10), row(2, 20, 12), row(3, 20, 11)]
    pace = walk.pace(rows)
    assert pace == walk.Pace(3, took=223, most=2.5 * 100 + 3 * 11.5)
    assert walk.pace(rows, cold=200) == replace(pace, most=2.5 * 200 + 3 * 11.5)


def test_levels_that_were_not_booted_again_do_not_make_tests_look_fast() -> None:
    pace = walk.pace([row(0, 100, 10), row(1, 20, 0), row(2, 20, 0)])
    assert pace == walk.Pace(2, took=150, most=2.5 * 100 + 2 * 10)


def test_a_walk_without_tests_has_no_pace() -> None:
    assert walk.pace([row(0, 100, 0)]) is None
    assert walk.pace([]) is None
