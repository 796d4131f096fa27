# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes seeded in one patch of a series each, to see whether a bisect names that patch: tests/detection/seeds.toml.

A seed makes a series of its own. The patches before it are as they were, the one with the
mistake differs by it, and those after it are merged with what it has left, as if whoever
wrote the series had made the mistake then and not noticed.
"""

from __future__ import annotations

import difflib
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelgate import manifest
from kernelgate.command import run
from kernelgate.errors import UserError, unknown
from kernelgate.patches import Patch

FILE = Path("tests/detection/seeds.toml")

Text = Callable[[int, str], str]
"""What a file of the tree holds at a patch level."""


@dataclass(frozen=True)
class Edit:
    """In patch number `patch`, one text of `file`, which stands there once, becomes another."""

    patch: int
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Seed:
    """One mistake: its name and kind, the number of the patch to be named, the cases that fail of it, where."""

    name: str
    kind: str
    culprit: int
    cases: tuple[str, ...]
    config: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Seeds:
    """All seeds by name, and the series and base that they are for."""

    series: str
    base: str
    seeds: Mapping[str, Seed]


def read(path: Path) -> Seeds:
    """The seeds in the file PATH. Raises UserError naming what is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        found = [_seed(entry) for entry in table["seed"]]
        return Seeds(table["series"], table["base"], {seed.name: seed for seed in found})
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: {type(error).__name__}: {error}") from None


def _seed(entry: Mapping[str, Any]) -> Seed:
    edits = tuple(Edit(edit["patch"], edit["file"], edit["old"], edit["new"]) for edit in entry["edit"])
    return Seed(
        entry["name"],
        entry["kind"],
        entry["culprit"],
        tuple(entry["cases"]),
        entry.get("config", "debug_vm"),
        edits,
    )


def chosen(known: Seeds, name: str) -> Seed:
    """The seed NAME. Raises UserError with the nearest of an unknown one."""
    if name not in known.seeds:
        raise unknown("seed", name, known.seeds)
    return known.seeds[name]


def patches(seed: Seed, originals: Sequence[Patch], text: Text) -> list[str]:
    """The ORIGINALS with SEED in them; TEXT tells what the original levels hold.

    Raises UserError where an edit's text does not stand in its patch's file once, or where
    what the seed has left and a later patch are about the same lines.
    """
    seeded: dict[str, str] = {}
    made = []
    for patch in originals:
        edits = [edit for edit in seed.edits if edit.patch == patch.number]
        before = {file: seeded.get(file, text(patch.number - 1, file)) for file in _files(patch, edits)}
        for file in patch.files:
            ours = seeded.get(file)
            theirs = text(patch.number, file)
            seeded[file] = theirs if ours is None else _merged(ours, text(patch.number - 1, file), theirs, patch, file)
        for edit in edits:
            seeded[edit.file] = _edited(seeded.get(edit.file, before[edit.file]), edit)
        made.append(_mail(patch, before, seeded))
    return made


def _files(patch: Patch, edits: Sequence[Edit]) -> list[str]:
    return list(dict.fromkeys([*patch.files, *(edit.file for edit in edits)]))


def _edited(text: str, edit: Edit) -> str:
    if text.count(edit.old) != 1:
        raise UserError(
            f"patch {edit.patch}, {edit.file}: the text of the seed stands there {text.count(edit.old)} times"
        )
    return text.replace(edit.old, edit.new)


def _merged(ours: str, base: str, theirs: str, patch: Patch, file: str) -> str:
    """What git makes of OURS when THEIRS comes of BASE."""
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / name for name in ("ours", "base", "theirs")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_text(text, encoding="utf-8")
        result = run(["git", "merge-file", "-p", *paths], check=False)
    if result.status:
        raise UserError(f"{patch} is about the same lines of {file} as the seed: say in an edit of it what is left")
    return result.stdout


def _mail(patch: Patch, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """PATCH as a mail that leads from BEFORE to AFTER."""
    parts = []
    for file, old in before.items():
        lines = difflib.unified_diff(old.splitlines(True), after[file].splitlines(True), f"a/{file}", f"b/{file}")
        diff = "".join(lines)
        parts += [f"diff --git a/{file} b/{file}\n{diff}"] if diff else []
    return f"From: kernelgate <kernelgate@localhost>\nSubject: [PATCH] {patch.subject}\n\n---\n{''.join(parts)}"


def write_series(seed: Seed, known: Seeds, mails: Sequence[str], root: Path, folder: Path) -> Path:
    """Make FOLDER anew a series of MAILS that says of itself what the series of KNOWN in the project at ROOT says.

    Raises UserError for a folder that holds anything but such a series: it is somebody's.
    """
    others = {path.name for path in folder.glob("*")} - {manifest.FILE, known.base}
    if others or folder.is_file():
        raise UserError(f"{folder} holds something else ({', '.join(sorted(others)[:3])}): name a new folder")
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / known.base
    place.mkdir(parents=True)
    shutil.copyfile(root / "series" / known.series / manifest.FILE, folder / manifest.FILE)
    for number, mail in enumerate(mails, 1):
        (place / f"{number:04}-{seed.name}.patch").write_text(mail, encoding="utf-8")
    return folder
