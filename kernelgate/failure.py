# SPDX-License-Identifier: GPL-2.0-only
"""What a failure looks like, so that it is known again on another kernel: addresses, numbers and lines left out.

Pure but for reading and writing the file that a failure leaves in its folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kernelgate.dmesg import Splat
from kernelgate.errors import InfrastructureError
from kernelgate.verdict import Verdict

FILE = "failure.json"

# lib/kunit/assert.c kunit_assert_prologue(); the scan of images/programs/ and kmod/ says "FAILED at" too
_PLACE = re.compile(r"\bFAILED at (?:\S*/)?([\w.-]+:\d+)")
_NUMBER = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|-?\b\d+\b", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """One complaint of the kernel, as far as it is the same on another boot and at another patch level."""

    kind: str
    title: str
    fingerprint: str
    condition: str | None
    file: str
    function: str | None
    trace: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """How an item failed: what the kernel complained of, which lines of the test failed, its first reason in words."""

    splats: tuple[Mark, ...]
    places: tuple[str, ...]
    words: str

    def __str__(self) -> str:
        return self.splats[0].title if self.splats else self.words


def of(judged: Verdict) -> Failure:
    """The failure that JUDGED, which is not passed, describes."""
    splats = tuple(_mark(splat) for splat in judged.splats if not splat.aftermath)
    text = judged.explain()
    places = tuple(dict.fromkeys(_PLACE.findall(text)))
    return Failure(splats, places, _NUMBER.sub("N", text.partition("\n")[0]))


def _mark(splat: Splat) -> Mark:
    file = (splat.location or "").rpartition(":")[0].rpartition("/")[2]
    return Mark(
        splat.kind.name, splat.title, splat.fingerprint, splat.condition, file, splat.function, splat.call_trace
    )  # fmt: skip


def shows(chased: Failure, seen: Failure) -> bool:
    """Whether SEEN is the failure CHASED: the same complaint of the kernel or, without one, of the test.

    What else was complained of does not matter. Lines of the test are the same on every kernel, since the test is.
    """
    if chased.splats:
        return any(_alike(chased.splats[0], other) for other in seen.splats)
    if chased.places:
        return bool(set(chased.places) & set(seen.places))
    return not seen.splats and not seen.places and chased.words == seen.words


def _alike(one: Mark, other: Mark) -> bool:
    """Whether both are one complaint: by their fingerprints, or seen through another inlining of the same calls.

    A patch may change what the compiler inlines, and so which function is named and where the trace begins.
    """
    if one.fingerprint == other.fingerprint:
        return True
    if (one.kind, one.condition, one.file) != (other.kind, other.condition, other.file):
        return False
    if one.condition is None and _banner(one) != _banner(other):
        return False
    return one.function in other.trace or other.function in one.trace


def _banner(mark: Mark) -> str:
    """The title without the function."""
    return mark.title.partition(f" in {mark.function}")[0]


def write(path: Path, failure: Failure) -> None:
    """Write FAILURE to the file PATH."""
    path.write_text(json.dumps(asdict(failure), indent=1), encoding="utf-8")


def parse(text: str) -> Failure:
    """The failure that write() wrote as TEXT. Raises ValueError for anything else."""
    try:
        return from_table(json.loads(text))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no failure: {error}") from None


def from_table(table: dict[str, object]) -> Failure:
    """The failure whose asdict(), through JSON, is TABLE. Raises KeyError or TypeError for anything else."""
    splats = table["splats"]
    assert isinstance(splats, Sequence)
    marks = tuple(Mark(**{**entry, "trace": tuple(entry["trace"])}) for entry in splats)
    places = table["places"]
    assert isinstance(places, Sequence)
    return Failure(marks, tuple(map(str, places)), str(table["words"]))


def read(folder: Path) -> Failure:
    """The failure in FOLDER, which the gate left. Raises InfrastructureError where there is none, or half of one."""
    try:
        return parse((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"{folder}: the failure left no account of itself: {error}") from None
