# SPDX-License-Identifier: GPL-2.0-only
"""What became of planted faults: which cases of a run noticed one, and the matrix and score of all.

A run of the gate is read off the JUnit file that pytest leaves. Pure but for reading it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.errors import InfrastructureError
from kernelgate.faults import Fault
from kernelgate.suites import ID

NOTICED, PASSED, SKIPPED = "X", ".", "-"

BOOT = "boot"
"""Stands for the case of an item that has none, a machine's boot, and of one that never ran as its machine did not."""

_CASE = re.compile(rf"\b{ID}\b")
_NO_BOOT = "does not boot: "
"""What the gate says of each item of a machine that did not come up."""


@dataclass(frozen=True)
class Row:
    """What the runs with one FAULT came to: a mark by case, whether all cases were run, and the seconds it took."""

    fault: Fault
    marks: Mapping[str, str]
    whole: bool
    seconds: float

    @property
    def noticed_by(self) -> tuple[str, ...]:
        """The cases that noticed the fault."""
        return tuple(sorted(case for case, mark in self.marks.items() if mark == NOTICED))


def read_junit(path: Path) -> dict[str, str]:
    """A mark for each case that the run of the JUnit file PATH judged; NOTICED goes before PASSED before SKIPPED.

    Raises InfrastructureError when there is no such file, or none that is whole.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (FileNotFoundError, ElementTree.ParseError) as error:
        raise InfrastructureError(f"{path}: the run left no account of itself: {error}") from None
    marks: dict[str, str] = {}
    for item in root.iter("testcase"):
        case, mark = _case(item), _mark(item)
        marks[case] = min(mark, marks.get(case, mark), key=(NOTICED, PASSED, SKIPPED).index)
    return marks


def _case(item: ElementTree.Element) -> str:
    """The item's case: its property or, where it never came to be judged, the id in its name; BOOT without a boot."""
    if any(_NO_BOOT in how.get("message", "") for how in item.iter("failure")):
        return BOOT
    for entry in item.iter("property"):
        if entry.get("name") == "case" and entry.get("value"):
            return str(entry.get("value"))
    named = _CASE.search(item.get("name", ""))
    return named[1] if named else BOOT


def _mark(item: ElementTree.Element) -> str:
    if item.find("failure") is not None or item.find("error") is not None:
        return NOTICED
    return SKIPPED if item.find("skipped") is not None else PASSED


def matrix(rows: Sequence[Row]) -> str:
    """The faults, one a line, under the cases that noticed any: X noticed it, . did not, a blank was not run."""
    cases = sorted({case for row in rows for case in row.noticed_by})
    width = max((len(str(row.fault)) for row in rows), default=0)
    height = max((len(case) for case in cases), default=0)
    lines = [" " * width + "  " + " ".join(case.rjust(height)[level] for case in cases) for level in range(height)]
    for row in rows:
        marks = " ".join(row.marks.get(case, " ") for case in cases)
        lines.append(f"{row.fault!s:{width}}  {marks}".rstrip())
    return "\n".join(lines)


def summary(rows: Sequence[Row], seconds: float) -> str:
    """The score, how long it took, and the faults that nothing noticed."""
    missed = [row for row in rows if not row.noticed_by]
    boots = sum(BOOT in row.noticed_by for row in rows)
    lines = [f"{len(rows) - len(missed)} of {len(rows)} faults noticed in {seconds:.0f} s, {boots} of them by a boot"]
    lines += [
        f"  not noticed: {row.fault} ({row.fault.kind}){'' if row.whole else ', by its own cases'}" for row in missed
    ]
    return "\n".join(lines)
