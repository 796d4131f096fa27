# SPDX-License-Identifier: GPL-2.0-only
"""The test catalogue: what each case claims, and which of them have a test.

tests/catalogue.toml lists the cases by id. Which tests are a case is read off the
sources, where the id stands in a fixed form:

    KG_CASE("REF-03", failed_get_leaves_page_frozen)    kmod/, images/programs/
    KG_TRIGGER("D-01", page_ref_add)                    kmod/
    @pytest.mark.case("S-01")                           tests/
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelgate.errors import UserError, unknown
from kernelgate.suites import ID

FILE = Path("tests/catalogue.toml")

_IN_C = re.compile(rf'^\s*KG_(?:CASE|TRIGGER)\w*\("{ID}"', re.MULTILINE)
_IN_PYTHON = re.compile(rf'\bmark\.case\("{ID}"')
_KEYS = ("claim", "reached", "reason")


@dataclass(frozen=True)
class Entry:
    """One case: its claim, where the code it tests is reached from, and, where it has no test, why not."""

    id: str
    claim: str
    reached: str
    reason: str | None = None


def read(path: Path) -> dict[str, Entry]:
    """The catalogue at PATH by id. Raises UserError naming the entry that is wrong."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from None
    return {name: _entry(path, name, table) for name, table in tables.items()}


def _entry(path: Path, name: str, table: object) -> Entry:
    if not re.fullmatch(ID, name) or not isinstance(table, dict):
        raise UserError(f"{path}: {name}: a case is a table named like [REF-04]")
    if wrong := sorted(set(table) - set(_KEYS)):
        raise UserError(f"{path}: {name}: {unknown('key', wrong[0], _KEYS)}")
    for key in _KEYS:
        value = table.get(key)
        if (value is not None or key != "reason") and not (isinstance(value, str) and value.strip()):
            raise UserError(f"{path}: {name}: {key} must be a text in quotes")
    return Entry(name, table["claim"], table["reached"], table.get("reason"))


def implemented(root: Path) -> dict[str, tuple[str, ...]]:
    """The files of the project at ROOT that have a test of a case, by the case's id."""
    places = [(path, _IN_C) for folder in ("kmod", "images/programs") for path in sorted((root / folder).glob("*.c"))]
    places += [(path, _IN_PYTHON) for path in sorted((root / "tests").rglob("test_*.py")) if not _of_library(path)]
    found: dict[str, list[str]] = {}
    for path, pattern in places:
        for case in dict.fromkeys(pattern.findall(path.read_text(encoding="utf-8"))):
            found.setdefault(case, []).append(str(path.relative_to(root)))
    return {case: tuple(files) for case, files in found.items()}


def _of_library(path: Path) -> bool:
    """Tests of the library itself may name any case."""
    return "library" in path.parts


def check_asked(asked: Iterable[str], entries: Mapping[str, Entry], tested: Mapping[str, object]) -> None:
    """Raise UserError for an id of ASKED that is not in the catalogue, or that has no test: with the reason."""
    for case in asked:
        if case not in entries:
            raise unknown("case", case, entries)
        if case not in tested:
            raise UserError(f"case {case} has no test: {entries[case].reason or 'nobody has written one'}")
