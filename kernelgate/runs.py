# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the gate as children, and what they found: for whatever asks for more than one verdict.

A run is told from the JUnit file that pytest leaves; conftest.py notes in it what the
gate itself says of an item.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.command import run
from kernelgate.errors import InfrastructureError, UserError

OUTCOME = "outcome"
FOLDER = "folder"
"""Properties of an item: what it counts as in the closing table, and the folder that its failure left."""

RUN = "run"
"""What precedes the number of a repetition at the end of an item's name."""

RUN_SECONDS = 3600.0
"""After so long a run is given up; a whole one takes some minutes."""

TRIES = 2
"""How often a run is begun that the place it runs in has spoilt."""

STATUS_NONE_SELECTED = 5
"""pytest's exit status when nothing was selected (_pytest/config/__init__.py, ExitCode)."""

_REPETITION = re.compile(rf"-?\b{RUN}\d+\]$")


@dataclass(frozen=True)
class Item:
    """What one run of one test came to.

    name is its node id without the number of the repetition; outcome is one of kernelgate.report's, e.g. "failed";
    detail what a failure said; folder where it left what replays it, "" for none.
    """

    name: str
    case: str
    outcome: str
    detail: str
    folder: str


def read(path: Path) -> tuple[Item, ...]:
    """The items of the JUnit file PATH, in order. Raises InfrastructureError when it is not there, or not whole."""
    try:
        root = ElementTree.parse(path).getroot()
    except (FileNotFoundError, ElementTree.ParseError) as error:
        raise InfrastructureError(f"{path}: the run left no account of itself: {error}") from None
    return tuple(_item(entry) for entry in root.iter("testcase"))


def _item(entry: ElementTree.Element) -> Item:
    properties = {found.get("name"): found.get("value") or "" for found in entry.iter("property")}
    file = entry.get("classname", "").replace(".", "/") + ".py"
    name = _REPETITION.sub("]", entry.get("name", ""))
    said = [found for tag in ("failure", "error", "skipped") for found in entry.iter(tag)]
    detail = next((found.text or found.get("message") or "" for found in said), "")
    outcome = properties.get(OUTCOME) or _plainly(entry)
    return Item(f"{file}::{name}", properties.get("case", ""), outcome, detail, properties.get(FOLDER, ""))


def _plainly(entry: ElementTree.Element) -> str:
    """The outcome of an item that has no target, by pytest's own words."""
    found = [tag for tag in ("error", "failure", "skipped") if entry.find(tag) is not None]
    return {"error": "lost", "failure": "failed", "skipped": "skipped"}[found[0]] if found else "passed"


@dataclass(frozen=True)
class Runner:
    """Starts runs of the gate in the project at ROOT; WORDS are pytest's, the same for all; results go to FOLDER."""

    root: Path
    python: Path
    folder: Path
    words: tuple[str, ...]

    def check(self, *words: str) -> None:
        """Raise UserError, with pytest's own line, where a run with WORDS would run nothing."""
        argv = [str(self.python), "-m", "pytest", "-q", "--collect-only", *self.words, *words]
        ended = run(argv, cwd=self.root, check=False, timeout=RUN_SECONDS)
        if ended.status:
            raise UserError(refusal(ended.status, ended.stdout + ended.stderr))

    def run(self, name: str, *words: str) -> tuple[Item, ...]:
        """What a run with WORDS found; NAME is that of its log and of its folder of results.

        Raises UserError, with pytest's own line, where nothing was to be run, InfrastructureError where the place
        it runs in has spoilt each try.
        """
        junit, log = self.folder / f"{name}.xml", self.folder / f"{name}.log"
        argv = [str(self.python), "-m", "pytest", "-q", *self.words, *words]
        argv += [f"--results={self.folder / name}", f"--junitxml={junit}"]
        for _ in range(TRIES):
            junit.unlink(missing_ok=True)
            ended = run(argv, cwd=self.root, check=False, timeout=RUN_SECONDS)
            save(log, ended.stdout + ended.stderr)
            if ended.status in (0, 1):
                return read(junit)
            if ended.status in (UserError.exit_status, STATUS_NONE_SELECTED):
                raise UserError(refusal(ended.status, ended.stdout + ended.stderr))
        raise InfrastructureError(f"{name}: the run ended with status {ended.status}: see {log}")


def refusal(status: int, said: str) -> str:
    """The one line in which pytest, ending with STATUS, SAID why it runs nothing."""
    if status == STATUS_NONE_SELECTED:
        return "nothing is selected: no test matches; pytest --collect-only -q lists them all"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ERROR: ", "!!"))] or lines[-1:] or [f"pytest: status {status}"]
    return told[-1].removeprefix("ERROR: ").strip("! ").removeprefix("_pytest.outcomes.Exit: ")


def save(path: Path, text: str) -> None:
    """Make TEXT the content of the file PATH, at once or not at all.

    Raises InfrastructureError on a disk that is full or may not be written.
    """
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.rename(path)
    except OSError as error:
        raise InfrastructureError(f"{path}: {error.strerror}: free some space or name another --results") from None


def folders(root: Path) -> list[str]:
    """The folders of tests/ whose tests run on kernels: all but those of the project itself."""
    found = (path.parent for path in root.glob("tests/*/test_*.py"))
    return sorted({f"tests/{folder.name}" for folder in found if folder.name != "library"})


def tally(items: Sequence[Item]) -> dict[str, int]:
    """How many of ITEMS came to each outcome."""
    return {outcome: sum(item.outcome == outcome for item in items) for outcome in {item.outcome for item in items}}
