# SPDX-License-Identifier: GPL-2.0-only
"""What a series says about itself: series.toml.

title = "mm: ..."
variant = "frozen_bit"             # the rules that hold once all of it is applied
assertions = "warn"                # what its own assertions do in the end: "bug" (the default), "warn" or "none"
bases = ["7.2", "7.3"]             # it has a folder of patches for each; the first is the default
authors = ["..."]                  # credit for the work that it carries

[posted]
link = "https://..."
message_id = "..."

[[known_defect]]
case = "REF-09"                    # the catalogue's id; a list of ids where it shows in several
defect = "D6"                      # its name in the notes
since = 2                          # the patch that brings it; 0 where the base has it already
summary = "..."
shows = "..."                      # a regular expression that the failure's own words match
test = "..."                       # the rest is optional: the test or tests of the case (KUnit, trigger, call site),
bases = ["7.3"]                    # where it shows, when not everywhere,
arches = ["x86_64"]
configs = ["debug_vm"]
spreads = true                     # any case may fail of it, in the words of `shows`, or may not: not strict;
must_show = ["INV-01"]             # but a run that has all of these cases on a kernel shows it there at least once,
mended_by = "other-series/mm-fix"  # and the patch that mends it, by its file's name without number and ".patch"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from kernelgate.errors import UserError, unknown
from kernelgate.variant import Assertions, Variant

E = TypeVar("E", bound=Enum)

FILE = "series.toml"


@dataclass(frozen=True)
class KnownDefect:
    """A failure that the series is known to bring; empty tests, bases, arches or configs mean all."""

    cases: tuple[str, ...]
    defect: str
    since: int
    summary: str
    shows: re.Pattern[str]
    tests: tuple[str, ...]
    bases: tuple[str, ...]
    arches: tuple[str, ...]
    configs: tuple[str, ...]
    mended_by: str | None
    spreads: bool = False
    must_show: tuple[str, ...] = ()

    def __str__(self) -> str:
        mend = f", mended by {self.mended_by}" if self.mended_by else ""
        since = f"since patch {self.since}" if self.since else "not of the series"
        return f"{self.defect}: {self.summary} ({since}{mend})"

    def shows_in(self, explanation: str) -> bool:
        """Whether a failure with this EXPLANATION is this defect and not another one in its place."""
        return self.shows.search(explanation) is not None

    def holds(self, level: int, base: str, arch: str, config: str) -> bool:
        """Whether it is to be expected with the first LEVEL patches on BASE (e.g. "7.2"), ARCH and CONFIG."""
        asked = ((self.bases, base), (self.arches, arch), (self.configs, config))
        return level >= self.since and all(not wanted or value in wanted for wanted, value in asked)


@dataclass(frozen=True)
class Posted:
    """Where the series was posted."""

    link: str
    message_id: str


@dataclass(frozen=True)
class Manifest:
    """A series.toml; bases in order of preference."""

    title: str
    variant: Variant
    bases: tuple[str, ...]
    authors: tuple[str, ...]
    posted: Posted | None
    known_defects: tuple[KnownDefect, ...]
    assertions: Assertions = Assertions.BUG


def read(path: Path) -> Manifest:
    """The manifest at PATH. Raises UserError naming the file and the key that is wrong."""
    try:
        table = _Table(tomllib.loads(path.read_text()), path, "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    manifest = Manifest(
        title=table.text("title"),
        variant=_one_of(Variant, table, "variant"),
        bases=table.texts("bases"),
        authors=table.texts("authors", optional=True),
        posted=_posted(table),
        known_defects=tuple(_known_defect(entry) for entry in table.tables("known_defect")),
        assertions=_one_of(Assertions, table, "assertions", Assertions.BUG),
    )
    table.done()
    if not manifest.bases:
        raise table.wrong("bases", "must name at least one base")
    return manifest


def _one_of(kind: type[E], table: _Table, key: str, default: E | None = None) -> E:
    """The member of KIND that KEY names; DEFAULT where there is one and no KEY."""
    name = table.optional_text(key)
    if name is None and default:
        return default
    names = [member.value for member in kind]
    if name not in names:
        raise table.wrong(key, str(unknown(key, name, names)) if name else "is missing")
    return kind(name)


def _posted(table: _Table) -> Posted | None:
    entry = table.table("posted")
    if entry is None:
        return None
    posted = Posted(entry.text("link"), entry.text("message_id"))
    entry.done()
    return posted


def _known_defect(entry: _Table) -> KnownDefect:
    defect = KnownDefect(
        cases=entry.one_or_more("case"),
        defect=entry.text("defect"),
        since=entry.number("since"),
        summary=entry.text("summary"),
        shows=entry.pattern("shows"),
        tests=entry.one_or_more("test", optional=True),
        bases=entry.texts("bases", optional=True),
        arches=entry.texts("arches", optional=True),
        configs=entry.texts("configs", optional=True),
        mended_by=entry.optional_text("mended_by"),
        spreads=entry.flag("spreads"),
        must_show=entry.texts("must_show", optional=True),
    )
    if defect.must_show and not defect.spreads:
        raise entry.wrong("must_show", "is for a defect that spreads: each case of any other must show it")
    entry.done()
    return defect


class _Table:
    """One table of the file; each key is taken once, and what nobody took is a mistake."""

    def __init__(self, values: Mapping[str, Any], path: Path, name: str) -> None:
        self._left = dict(values)
        self._path, self._name = path, name

    def wrong(self, key: str, what: str) -> UserError:
        return UserError(f"{self._path}: {self._name}{key}: {what}")

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "must be a text in quotes")
        return value

    def pattern(self, key: str) -> re.Pattern[str]:
        try:
            return re.compile(self.text(key))
        except re.error as error:
            raise self.wrong(key, f"is no regular expression: {error}") from None

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self._left else None

    def number(self, key: str) -> int:
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "must be a number from 0 on")
        return value

    def flag(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        if optional and key not in self._left:
            return ()
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.wrong(key, 'must be a list of texts: ["...", "..."]')
        return tuple(value)

    def one_or_more(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        if optional and key not in self._left:
            return ()
        return self.texts(key) if isinstance(self._left.get(key), list) else (self.text(key),)

    def table(self, key: str) -> _Table | None:
        if key not in self._left:
            return None
        value = self._take(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"must be a table: [{key}]")
        return _Table(value, self._path, f"{key}.")

    def tables(self, key: str) -> list[_Table]:
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"must be tables: [[{key}]]")
        return [_Table(entry, self._path, f"{key} {number}: ") for number, entry in enumerate(value, 1)]

    def done(self) -> None:
        for key in self._left:
            raise self.wrong(key, "is not a key of this file")

    def _take(self, key: str) -> Any:
        if key not in self._left:
            raise self.wrong(key, "is missing")
        return self._left.pop(key)
