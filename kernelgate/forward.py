# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of one patch level after the other, in one build folder an architecture.

The folder has a tree of its own, which git moves from commit to commit: a file that
differs is written anew and is younger than the objects made of it, so that make finds
by itself what to make again. (The trees of the cache are as old as their unpacking: make
would take objects of another patch level for up to date.) What is made is then copied to
where build() looks for it.

A killed run leaves its mark, and the objects that are younger than the mark are made
again: what the compiler said of them is lost.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kernelgate import build, compiler, kbuild
from kernelgate.build import LOG, OUT, Kernel, Order
from kernelgate.command import run
from kernelgate.git import Repository
from kernelgate.progress import Step
from kernelgate.source import SourceTree

TREE = "tree"
INDEX = "index"
AT = "AT.json"
"""Which commit the folder was last finished for, and the warnings of all its objects."""
BEGUN = "BEGUN"
"""There while a level is made; as old as its beginning."""


@dataclass(frozen=True)
class At:
    """Where a folder stands: the last commit that was made in it, and the compiler's warnings for all of that."""

    commit: str
    warnings: tuple[str, ...]


def make(pristine: SourceTree, order: Order) -> Kernel:
    """The kernel of ORDER, whose tree is PRISTINE with patches, as build() makes it, but going on from another level.

    Raises what build() raises.
    """
    if not build.is_built(order):
        with order.cache.workplace("forward", _key(order), order.report) as place:
            _advance(place, pristine, order)
    return build.build(order)


def _key(order: Order) -> str:
    parts = (build.RECIPE, order.fragments.text, kbuild.compiler_version(order.tools))
    return f"{order.tree.version}-{order.arch}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def _advance(place: Path, pristine: SourceTree, order: Order) -> None:
    """Move the folder PLACE to the tree of ORDER, make its kernel there and publish it."""
    tree, before = order.tree, _begin(place, pristine)
    order.report(Step(f"move to {tree.commit[:12]}, {tree.series.level} of {tree.series.total} patches"))
    repository = Repository(pristine.repo)
    move(repository, tree.commit, place / TREE, place / INDEX)
    stamp = build.make_in(place, replace(order, tree=replace(tree, path=place / TREE)))
    lines = (place / LOG).read_text(encoding="utf-8").splitlines()
    changed = _changed(repository, before.commit, tree.commit)
    warnings = merged(before.warnings, stamp.warnings, compiler.made(lines), changed)
    build.adopt(place / OUT, replace(stamp, warnings=warnings), order)
    _finish(place, At(tree.commit, tuple(warnings)))


def _begin(place: Path, pristine: SourceTree) -> At:
    """Leave the mark in PLACE; where it stands, without what a killed run has made since."""
    if not (place / AT).is_file():
        for name in (OUT, TREE):
            shutil.rmtree(place / name, ignore_errors=True)
        run(["cp", "--archive", "--link", pristine.pristine, place / TREE])
        shutil.copyfile(pristine.repo / "index", place / INDEX)
        _write(place, At(pristine.commit, ()))
    if (place / BEGUN).is_file():
        _forget(place / OUT, (place / BEGUN).stat().st_mtime_ns)
    else:
        (place / BEGUN).touch()
    for left in (LOG, f"{INDEX}.lock"):  # the lock of a git that was killed; the folder is ours alone
        (place / left).unlink(missing_ok=True)
    found = json.loads((place / AT).read_text(encoding="utf-8"))
    return At(found["commit"], tuple(found["warnings"]))


def _forget(out: Path, since: int) -> None:
    """Remove the objects of OUT that are no older than SINCE, in nanoseconds since the epoch."""
    for made in out.rglob("*.o"):
        if made.stat().st_mtime_ns >= since:
            made.unlink()


def _finish(place: Path, at: At) -> None:
    _write(place, at)
    (place / BEGUN).unlink()


def _write(place: Path, at: At) -> None:
    draft = place / f"{AT}.draft"
    draft.write_text(json.dumps({"commit": at.commit, "warnings": at.warnings}), encoding="utf-8")
    draft.rename(place / AT)


def move(repository: Repository, commit: str, work_tree: Path, index: Path) -> None:
    """Make the files of WORK_TREE those of COMMIT, whatever they are; only what differs is written.

    git writes a new file in place of the old one, which others may share by hard links.
    """
    repository.git("read-tree", "--reset", "-u", commit, work_tree=work_tree, index=index)


def _changed(repository: Repository, before: str, after: str) -> frozenset[str]:
    """The files in which two commits differ."""
    return frozenset(repository.git("diff-tree", "-r", "--name-only", before, after).stdout.split())


def merged(before: Sequence[str], fresh: Sequence[str], made: Collection[str], changed: Collection[str]) -> list[str]:
    """The warnings of all objects: those from BEFORE that still hold, and the FRESH ones.

    MADE are the objects that were made again, without suffix, CHANGED the files that differ. What a linker or
    modpost says is said again whenever anything was made.
    """

    def holds(line: str) -> bool:
        file = compiler.warned_file(line)
        stem, _, suffix = file.rpartition(".")
        of_one_file = suffix in ("c", "h", "S") or (suffix == "o" and stem != "vmlinux")
        return stem not in made and file not in changed if of_one_file else not made

    return list(dict.fromkeys([*filter(holds, before), *fresh]))
