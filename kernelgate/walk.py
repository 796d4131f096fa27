# SPDX-License-Identifier: GPL-2.0-only
"""Every patch of a series for itself: does it apply, build without a new warning, boot, and pass?

What was found is a row a patch level and architecture; from rows come the table, the first
red patch and the exit status. Who builds and runs is scripts/walk.
"""

from __future__ import annotations

import io
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from kernelgate import compiler
from kernelgate.errors import BuildError, InfrastructureError, UserError
from kernelgate.report import ERROR, FAILED, KNOWN, PASSED, SKIPPED
from kernelgate.runs import Item, tally

UNBOOTED = " does not boot: "
"""What a verdict says of a machine that did not come up (Gate._lost())."""

WIDTH = 150
"""Of the table, in characters."""

COLD_BUILDS = 2.5
"""So many cold builds of one kernel are the most that the builds of a walk may cost."""

YES, NO, SAME, UNKNOWN = "yes", "NO", "same", "-"


@dataclass(frozen=True)
class Row:
    """What became of one patch level on one architecture; level 0 is the base.

    builds and boots are YES, NO, or UNKNOWN where it did not come so far; boots is SAME where everything that a
    guest runs and is judged by equals that of the level `like`, so that no guest was started and the tests are that
    level's. warnings are those that the level before had not; tests the items by outcome; red why the level is at
    fault, lost why it could not be judged. seconds on the clock: of the build, and of the tests.
    """

    arch: str
    level: int
    title: str
    applies: str = YES
    builds: str = UNKNOWN
    warnings: tuple[str, ...] = ()
    boots: str = UNKNOWN
    like: int | None = None
    tests: Mapping[str, int] = field(default_factory=dict)
    red: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    build_seconds: float = 0.0
    test_seconds: float = 0.0
    commit: str = ""
    identity: str = ""
    all_warnings: tuple[str, ...] = ()

    @property
    def is_red(self) -> bool:
        return bool(self.red or self.warnings)

    @property
    def is_green(self) -> bool:
        """Whether it was built, was booted or need not be, and every test told what it is known to tell."""
        told = self.tests.get(PASSED, 0) + self.tests.get(KNOWN, 0)
        return self.builds == YES and self.boots in (YES, SAME) and told > 0 and not self.is_red and not self.lost


@dataclass(frozen=True)
class Built:
    """A kernel: the compiler's warnings, and a hash of what a guest of it runs and is judged by, "" if not known."""

    warnings: tuple[str, ...]
    identity: str


@dataclass(frozen=True)
class Work:
    """How to come by what is judged.

    apply gives a level's commit, or raises UserError; build its kernel on an architecture, or BuildError; run what
    the gate says of it, or InfrastructureError.
    """

    total: int
    title: Callable[[int], str]
    apply: Callable[[int], str]
    build: Callable[[int, str], Built]
    run: Callable[[int, str], Sequence[Item]]


def rows(work: Work, arches: Sequence[str], known: Sequence[Row] = ()) -> Iterator[Row]:
    """The rows of all levels in order, those KNOWN already as they are, but for what was lost.

    A patch that does not apply is the last: there is no tree for those after it.
    """
    found = {(row.arch, row.level): row for row in known if not row.lost}
    for arch in arches:
        before: Row | None = None
        for level in range(work.total + 1):
            before = found.get((arch, level)) or _one(work, level, arch, before)
            yield before
            if before.applies == NO:
                break


def _one(work: Work, level: int, arch: str, before: Row | None) -> Row:
    """LEVEL on ARCH; BEFORE is the level before it."""
    began, row = time.monotonic(), Row(arch, level, work.title(level))
    warned = before.all_warnings if before else None
    try:
        row = replace(row, commit=work.apply(level))
    except UserError as error:
        return replace(row, applies=NO, red=(str(error),))
    try:
        built = work.build(level, arch)
    except BuildError as error:
        failed = replace(row, builds=NO, red=tuple(str(error).splitlines()), all_warnings=warned or ())
        return replace(failed, build_seconds=time.monotonic() - began)
    fresh = () if warned is None else new_warnings(warned, built.warnings)
    row = replace(row, builds=YES, warnings=fresh, all_warnings=built.warnings, identity=built.identity)
    row = replace(row, build_seconds=time.monotonic() - began)
    if before is not None and row.identity and before.identity == row.identity and not before.lost:
        like = before.level if before.like is None else before.like
        return replace(row, boots=SAME, like=like, tests=before.tests, red=before.red)
    return _tested(row, work)


def _tested(row: Row, work: Work) -> Row:
    """ROW with what a run of the gate says of it; what it cannot say is lost."""
    began = time.monotonic()
    try:
        items = work.run(row.level, row.arch)
    except InfrastructureError as error:
        return replace(row, lost=(_first_line(str(error)),), test_seconds=time.monotonic() - began)
    return replace(row, **tested(items), test_seconds=time.monotonic() - began)


def new_warnings(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """What AFTER has of warnings in files that had fewer BEFORE; where a line stands in its file says nothing."""
    had, has = (Counter(map(compiler.warned_file, lines)) for lines in (before, after))
    worse = {file for file, count in has.items() if count > had[file]}
    known = set(before)
    return tuple(line for line in after if compiler.warned_file(line) in worse and line not in known)


def tested(items: Sequence[Item]) -> dict[str, Any]:
    """What ITEMS, a run of the gate on one level, say of it: the fields of its Row."""
    failed = [item for item in items if item.outcome == FAILED]
    unbooted = [item for item in failed if UNBOOTED in item.detail]
    ran = [item for item in items if item.outcome in (PASSED, FAILED, KNOWN)]
    return {
        "boots": NO if unbooted else YES if ran else UNKNOWN,
        "tests": tally(items),
        "red": tuple(f"{item.name}: {_first_line(item.detail)}" for item in failed),
        "lost": tuple(f"{item.name}: {_first_line(item.detail)}" for item in items if item.outcome == ERROR),
    }


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def first_red(rows: Iterable[Row]) -> Row | None:
    """The red row of the lowest level."""
    return min((row for row in rows if row.is_red), key=lambda row: row.level, default=None)


def exit_status(rows: Sequence[Row]) -> int:
    """0 where every level is green, 1 where one is red, 75 where nothing is but one could not be judged."""
    if first_red(rows):
        return 1
    return 0 if rows and all(row.is_green for row in rows) else InfrastructureError.exit_status


def table(rows: Sequence[Row]) -> str:
    """The rows as a table for a person, then what is wrong, then the first red patch."""
    sink = io.StringIO()
    console = Console(file=sink, width=WIDTH, highlight=False, no_color=True)
    console.print(_table(rows))
    for row in rows:
        for line in [*row.red, *(f"new warning: {line}" for line in row.warnings), *(f"lost: {x}" for x in row.lost)]:
            console.print(f"{row.arch} level {row.level}: {line}", soft_wrap=True, markup=False)
    console.print(conclusion(rows), soft_wrap=True, markup=False)
    return sink.getvalue()


def _table(rows: Sequence[Row]) -> Table:
    made = Table(box=None, pad_edge=False)
    for title in ("arch", "level", "patch"):
        made.add_column(title, no_wrap=True, max_width=56 if title == "patch" else None)
    for title in ("applies", "builds", "warnings", "boots", PASSED, FAILED, "known", SKIPPED, ERROR, "s"):
        made.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        counts = [str(row.tests.get(name, 0) or "-") for name in (PASSED, FAILED, KNOWN, SKIPPED, ERROR)]
        boots = f"like {row.like}" if row.boots == SAME else row.boots
        seconds = f"{row.build_seconds:.0f}+{row.test_seconds:.0f}"
        warned = f"+{len(row.warnings)}" if row.warnings else "-"
        made.add_row(row.arch, str(row.level), row.title, row.applies, row.builds, warned, boots, *counts, seconds)
    return made


def conclusion(rows: Sequence[Row]) -> str:
    """What it comes to, in one line."""
    if found := first_red(rows):
        return f"first red: level {found.level}, {found.title}, on {found.arch}"
    unjudged = [f"{row.arch} {row.level}" for row in rows if not row.is_green]
    if unjudged or not rows:
        return f"not judged: {', '.join(unjudged) or 'anything'}"
    return f"all {len({row.level for row in rows if row.level})} patches are green"


@dataclass(frozen=True)
class Pace:
    """How long a walk took on one architecture, in seconds, and what it was to take at most."""

    patches: int
    took: float
    most: float


def pace(rows: Sequence[Row], cold: float | None = None) -> Pace | None:
    """The pace of ROWS, of one architecture: at most 2.5 cold builds and a warm test a patch (issue 4, section 5).

    COLD is how long the cold build of one kernel takes here; without, that of the base in this walk,
    which says something only of one that began with an empty cache. None where no test was run.
    """
    tests = [row.test_seconds for row in rows if row.test_seconds]
    base = next((row.build_seconds for row in rows if not row.level), None)
    if not tests or (cold is None and base is None):
        return None
    patches = sum(row.level > 0 for row in rows)
    took = sum(row.build_seconds + row.test_seconds for row in rows)
    return Pace(patches, took, COLD_BUILDS * (cold or base or 0.0) + patches * statistics.median(tests))


def as_tables(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """ROWS as JSON wants them."""
    return [asdict(row) for row in rows]


def from_tables(tables: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows that as_tables() gave."""
    many = ("warnings", "red", "lost", "all_warnings")
    rows: list[dict[str, Any]] = [
        {key: tuple(value) if key in many else value for key, value in entry.items()} for entry in tables
    ]
    return [Row(**row) for row in rows]
