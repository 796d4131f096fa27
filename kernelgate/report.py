# SPDX-License-Identifier: GPL-2.0-only
"""What a person reads: progress while it works, and the closing table.

pytest's own report objects come in as plain values (see row()), so that nothing here
needs pytest.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from kernelgate.manifest import KnownDefect
from kernelgate.progress import Report, Step
from kernelgate.selection import SOURCES, Flavour, Target

PASSED = "passed"
FAILED = "failed"
KNOWN = "known defects"
SKIPPED = "skipped"
ERROR = "lost"

NOWHERE = "(any)"
"""What stands for the machine where a whole run on a kernel is meant."""

QUIET_SECONDS = 15.0
"""How often a step says how far it is where there is no terminal to redraw."""


@dataclass(frozen=True)
class Row:
    """The outcome of one item; case is its id in the catalogue, detail what a failure or skip said."""

    nodeid: str
    target: Target
    kernel: str
    case: str
    outcome: str
    detail: str


def row(nodeid: str, target: Target, properties: Mapping[str, Any], result: Any) -> Row:
    """A Row from a pytest TestReport (its outcome, when, wasxfail and longreprtext are read)."""
    return Row(
        nodeid, target, properties.get("kernel", ""), properties.get("case", ""), _outcome(result), _detail(result)
    )


def _outcome(result: Any) -> str:
    if hasattr(result, "wasxfail") and result.outcome == "skipped":
        return KNOWN
    if result.outcome == "failed" and result.when != "call" and not getattr(result, "kernel_is_at_fault", False):
        return ERROR
    return {"passed": PASSED, "failed": FAILED, "skipped": SKIPPED}[result.outcome]


def _detail(result: Any) -> str:
    if hasattr(result, "wasxfail"):
        return str(result.wasxfail)
    if result.outcome == "skipped" and isinstance(result.longrepr, tuple):
        return str(result.longrepr[2]).removeprefix("Skipped: ").removeprefix("skipped: ")
    return str(result.longreprtext)


def outlook(targets: Collection[Target], to_build: Collection[Flavour]) -> str:
    """What a run will take, in one line: the kernels of TARGETS, which of them are still to be built, and the boots.

    "3 kernels, 1 to build (arm64 lockdep); 9 machines to boot"
    """
    machines = {target for target in targets if target != SOURCES}
    kernels = len({target.flavour for target in machines})
    if not kernels:
        return "no kernel: the sources are read"
    missing = f"{len(to_build)} to build ({', '.join(map(str, sorted(to_build)))})" if to_build else "none to build"
    return f"{_count(kernels, 'kernel')}, {missing}; {_count(len(machines), 'machine')} to boot"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def unshown(
    rows: Sequence[Row], left_out: Collection[tuple[Flavour, str]], defects: Mapping[Flavour, Sequence[KnownDefect]]
) -> list[Row]:
    """A failure for each of DEFECTS that a kernel was to show somewhere, and that none of ROWS shows.

    Nothing is said of a kernel on which not all of the cases ran that must show it: LEFT_OUT are those of
    which something did not.
    """
    found = []
    for flavour, expected in defects.items():
        here = [row for row in rows if row.target.flavour == flavour]
        shown = {row.detail for row in here if row.outcome == KNOWN}
        ran = {row.case for row in here if row.outcome in (PASSED, KNOWN, FAILED)}
        for defect in expected:
            complete = all(case in ran and (flavour, case) not in left_out for case in defect.must_show)
            if complete and str(defect) not in shown:
                found.append(_unshown(defect, here[0]))
    return found


def _unshown(defect: KnownDefect, any_row: Row) -> Row:
    nowhere = Target(any_row.target.arch, NOWHERE, any_row.target.config)
    detail = f"known defect did not show in any test\n{defect}"
    return Row(defect.defect, nowhere, any_row.kernel, ", ".join(defect.must_show), FAILED, detail)


def summary(rows: Sequence[Row], headline: str) -> str:
    """The closing text: what was judged, the table, then what is known, skipped, failed or lost."""
    sink = io.StringIO()
    console = Console(file=sink, width=120, highlight=False, no_color=True)
    console.print()
    console.print(headline, soft_wrap=True, markup=False)
    console.print(_table(rows))
    for outcome in (KNOWN, SKIPPED, FAILED, ERROR):
        _list(console, outcome, [row for row in rows if row.outcome == outcome])
    return sink.getvalue()


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("kernel", "machine"):
        table.add_column(title)
    columns = (PASSED, FAILED, KNOWN, SKIPPED, ERROR)
    for title in columns:
        table.add_column(title, justify="right")
    kernels = {row.target: row.kernel for row in rows if row.kernel}
    for target in dict.fromkeys(row.target for row in rows):
        counts = Counter(row.outcome for row in rows if row.target == target)
        kernel = kernels.get(target, str(target.flavour))
        table.add_row(kernel, target.machine, *(str(counts[name] or "-") for name in columns))
    return table


def _list(console: Console, outcome: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    console.print(f"\n{outcome}:")
    for detail, targets in _grouped(rows).items():
        counts = Counter(targets)
        names = [name if times == 1 else f"{name} ({times} times)" for name, times in counts.items()]
        console.print(f"  {' '.join(names)}", soft_wrap=True, markup=False)
        for line in detail.splitlines():
            console.print(f"    {line}", soft_wrap=True, markup=False)


def _grouped(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The machines by what was said of them: the same sentence is printed once."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.detail, []).append(str(row.target))
    return groups


@contextmanager
def progress(stream: IO[str]) -> Iterator[Report]:
    """A Report that shows each Step to a person: bars on a terminal, plain lines elsewhere."""
    console = Console(file=stream)
    if not console.is_terminal:
        yield _plain(stream)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TextColumn("{task.fields[unit]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=console
    ) as bars:
        yield _bars(bars)


def _bars(bars: Progress) -> Report:
    tasks: dict[str, Any] = {}

    def show(step: Step) -> None:
        if step.name not in tasks:
            tasks[step.name] = bars.add_task(step.name, unit=step.unit)
        bars.update(tasks[step.name], completed=step.done, total=step.total, unit=step.unit)

    return show


def _plain(stream: IO[str]) -> Report:
    """One line when a step begins, one now and then while it lasts, with the time left as it looks."""
    begun: dict[str, float] = {}
    last: dict[str, float] = {}

    def show(step: Step) -> None:
        now = time.monotonic()
        finished = step.total is not None and step.done >= step.total
        if step.name in begun and not finished and now - last[step.name] < QUIET_SECONDS:
            return
        begun.setdefault(step.name, now)
        last[step.name] = now
        stream.write(plain_line(step, now - begun[step.name]) + "\n")
        stream.flush()

    return show


def plain_line(step: Step, seconds: float) -> str:
    """ "build 7.2.13 arm64: 310 of 993 objects, 95 s, about 209 s left" """
    if step.total is None:
        return f"{step.name}: {step.done} {step.unit}, {seconds:.0f} s" if step.done else f"{step.name} ..."
    text = f"{step.name}: {step.done} of {step.total} {step.unit}, {seconds:.0f} s"
    if 0 < step.done < step.total:
        text += f", about {seconds / step.done * (step.total - step.done):.0f} s left"
    return text
