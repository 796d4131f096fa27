# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes planted in a series, to see whether the gate notices them: tests/detection/faults.toml.

All of them are compiled into one kernel: a patch on top of the series makes each place
ask a variable, which the boot parameter kg_fault=N sets, whether this fault is the
chosen one (mutant schemata). So trying them all costs one build, and one boot each.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelgate import manifest
from kernelgate.c_source import functions
from kernelgate.errors import UserError, unknown
from kernelgate.selection import DEFAULT_CONFIG

FILE = Path("tests/detection/faults.toml")
"""The ones of the default series; beside it there are files for others."""

PARAMETER = "kg_fault"
"""The boot parameter, and the variable in the kernel."""

SUBJECT = "faults to be found, of which the boot parameter kg_fault= chooses one"

MACRO = f"#define KG_FAULT(n)\tunlikely(READ_ONCE({PARAMETER}) == (n))\n"
DECLARATION = f"extern int {PARAMETER};\n"

_NAMED = re.compile(r"\bKG_FAULT\((\w+)\)")


@dataclass(frozen=True)
class Fault:
    """One mistake: number, name, kind of mistake, the cases made to notice it; arches, none for all, where it shows."""

    number: int
    name: str
    kind: str
    cases: tuple[str, ...]
    arches: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


@dataclass(frozen=True)
class Place:
    """One text of a tree that becomes another: `old`, once in `function` of `file`, or once in all of it."""

    file: str
    function: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}: {self.function}()" if self.function else self.file


@dataclass(frozen=True)
class Faults:
    """The faults by number from 1 on, the places they are in, the series and base that they are for, and the tests.

    config is the configuration of the kernel that has them.
    """

    series: str
    base: str
    faults: tuple[Fault, ...]
    places: tuple[Place, ...]
    tests: str = "tests/frozen_bit"
    config: str = DEFAULT_CONFIG


def read(path: Path) -> Faults:
    """The faults in the file PATH. Raises UserError naming the entry that is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        faults = tuple(_fault(number, entry) for number, entry in enumerate(table["fault"], 1))
        places = tuple(_place(entry) for entry in table["site"])
        words = {name: table[name] for name in ("tests", "config") if name in table}
        read = Faults(table["series"], table["base"], faults, places, **words)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file: see those of {FILE.parent}") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: {type(error).__name__}: {error}") from None
    if wrong := _wrong(read):
        raise UserError(f"{path}: {wrong}")
    return read


def _fault(number: int, entry: Mapping[str, Any]) -> Fault:
    return Fault(number, entry["name"], entry["kind"], tuple(entry["cases"]), tuple(entry.get("arches", ())))


def _place(entry: Mapping[str, Any]) -> Place:
    return Place(entry["file"], entry.get("function", ""), entry["old"], entry["new"])


def _wrong(read: Faults) -> str:
    """What is wrong with READ as a whole; empty when nothing is."""
    names = [fault.name for fault in read.faults]
    used = {name for place in read.places for name in _NAMED.findall(place.new)}
    if twice := [name for name in names if names.count(name) > 1]:
        return f"there are two faults {twice[0]}"
    if nowhere := [name for name in names if name not in used]:
        return f"the fault {nowhere[0]} is in no site"
    if strange := sorted(used - set(names)):
        return str(unknown("fault", strange[0], names))
    return ""


def chosen(words: Sequence[str], known: Sequence[Fault]) -> tuple[Fault, ...]:
    """The faults that WORDS name, by number or by name; all of KNOWN for no words.

    Raises UserError naming the nearest of an unknown one.
    """
    by_word = {str(fault.number): fault for fault in known} | {fault.name: fault for fault in known}
    for word in words:
        if word not in by_word:
            names = [fault.name for fault in known]
            raise unknown("fault", word, names) if not word.isdigit() else UserError(_range(word, known))
    return tuple(by_word[word] for word in words) if words else tuple(known)


def _range(word: str, known: Sequence[Fault]) -> str:
    return f"unknown fault '{word}': choose from 1 to {len(known)}, or by name"


def patch(tree: Path, read: Faults) -> str:
    """The patch that puts all faults of READ into TREE, as git-format-patch would have written it.

    Raises UserError naming a place that TREE does not have, or has more than once.
    """
    numbers = {fault.name: fault.number for fault in read.faults}
    parts = []
    for file in dict.fromkeys(place.file for place in read.places):
        before = (tree / file).read_text(encoding="utf-8")
        after = before
        for place in (place for place in read.places if place.file == file):
            after = _replaced(after, place, numbers)
        lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{file}", f"b/{file}")
        parts += [f"diff --git a/{file} b/{file}\n", *lines]
    return f"From: kernelgate <kernelgate@localhost>\nSubject: [PATCH] {SUBJECT}\n\n---\n{''.join(parts)}"


def _replaced(text: str, place: Place, numbers: Mapping[str, int]) -> str:
    """TEXT with what PLACE says; raises UserError where it cannot be done."""
    start, end = _span(text, place)
    if text.count(place.old, start, end) != 1:
        raise UserError(
            f"{place}: the text of the fault stands there {text.count(place.old, start, end)} times, not once"
        )
    new = _NAMED.sub(lambda match: f"KG_FAULT({numbers[match[1]]})", place.new)
    at = text.index(place.old, start, end)
    return text[:at] + new.replace(DECLARATION, DECLARATION + MACRO) + text[at + len(place.old) :]


def _span(text: str, place: Place) -> tuple[int, int]:
    if not place.function:
        return 0, len(text)
    known = functions(text)
    if place.function not in known:
        raise UserError(f"{place}: there is no such function in this tree")
    function = known[place.function]
    return function.start, function.start + len(function.body)


def write_series(read: Faults, tree: Path, root: Path, folder: Path) -> Path:
    """Make FOLDER anew a series: that of READ in the project at ROOT, and its faults put into TREE; returns it."""
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / read.base
    shutil.copytree(root / "series" / read.series / read.base, place)
    shutil.copyfile(root / "series" / read.series / manifest.FILE, folder / manifest.FILE)
    (place / "9999-faults.patch").write_text(patch(tree, read), encoding="utf-8")
    return folder
