# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/walk and scripts/bisect have in common: options, places, and how they end."""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from _environment import ROOT

from kernelgate import levels
from kernelgate.cache import Cache, default_root
from kernelgate.errors import KernelgateError
from kernelgate.gate import DEFAULT_SERIES
from kernelgate.levels import Levels
from kernelgate.progress import Report
from kernelgate.selection import DEFAULT_CONFIG

STOPPED = 130
"""128 + SIGINT, as a shell has it."""


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """The options that both scripts have; their names are those of scripts/run."""
    add = parser.add_argument
    add("--series", default=DEFAULT_SERIES, help="NAME | DIR | MBOX | git:PATH@A..B (default: %(default)s)")
    add("--base", help="as for scripts/run (default: the series' first base, or the beginning of the range)")
    add("-k", dest="expression", metavar="EXPR", help="the tests to run, as pytest has it")
    add("--case", action="append", default=[], metavar="ID", help="only this case of the catalogue; repeatable")
    add("--machine", action="append", default=[], help="run on this machine instead of each test's own; repeatable")
    add("--config", dest="configuration", default=DEFAULT_CONFIG, help="kernel configuration (default: %(default)s)")
    add("--jobs", type=int, metavar="N", help="parallel compilers")
    add("--cache", type=Path, default=default_root())
    add("--results", type=Path, default=ROOT / "results", help="default: results")
    add("--again", action="store_true", help=f"forget what an earlier {name} of the same kind has found")


def absolute(name: str) -> str:
    """NAME of a series or base; a path in it as seen from here, since runs start in the project's folder."""
    if name.startswith("git:"):
        path, _, commits = name.removeprefix("git:").rpartition("@")
        return f"git:{Path(path).expanduser().resolve()}@{commits}"
    path = Path(name).expanduser()
    return str(path.resolve()) if "/" in name and path.exists() else name


def selection_words(given: argparse.Namespace) -> tuple[str, ...]:
    """What selects the tests, in pytest's words, and the cache."""
    words = [f"--case={case}" for case in given.case] + [f"--machine={name}" for name in given.machine]
    if given.expression:
        words += ["-k", given.expression]
    return (*words, f"--config={given.configuration}", f"--cache={given.cache.absolute()}")


def levels_of(given: argparse.Namespace, show: Report) -> Levels:
    """The series that was asked for."""
    base = absolute(given.base) if given.base else None
    return levels.of(absolute(given.series), base, ROOT, Cache(given.cache), show)


def folder_for(given: argparse.Namespace, kind: str, of: Levels, words: tuple[str, ...]) -> Path:
    """The folder of results of this KIND of work on the series OF with these WORDS, made."""
    series = Path(of.name.removeprefix("git:").partition("@")[0]).name
    folder = given.results.absolute() / f"{kind}-{series}-{of.key(words)}"
    if given.again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ended(work: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    """The exit status of WORK; what stopped it is said in one line."""
    try:
        return work(given)
    except KernelgateError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped: the same command goes on where it was", file=sys.stderr)
        return STOPPED
