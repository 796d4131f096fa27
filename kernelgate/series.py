# SPDX-License-Identifier: GPL-2.0-only
"""A series: which patches, in which order, and the tree that has them.

Each patch becomes one commit in the base's repository, made without a work tree. The
tree shares all files that no patch touches with the pristine one, by hard links: it
costs two seconds and a few megabytes instead of a checkout of 1.8 GB.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate import manifest as manifests
from kernelgate.cache import Cache
from kernelgate.command import run
from kernelgate.errors import UserError, unknown
from kernelgate.git import Repository
from kernelgate.manifest import KnownDefect, Manifest
from kernelgate.patches import Patch, from_folder, from_mbox, from_range
from kernelgate.progress import Report, Step
from kernelgate.source import BASES, SourceTree, resolve, resolve_first

NONE = "none"
"""The series without patches."""

__all__ = ["NONE", "KnownDefect", "Manifest", "Patch", "PatchedTree", "Series", "apply", "load", "manifest", "pristine"]


@dataclass(frozen=True)
class Series:
    """The patches to apply, the first of TOTAL; manifest is None for a series that brings none."""

    name: str
    patches: tuple[Patch, ...]
    total: int
    manifest: Manifest | None

    @property
    def level(self) -> int:
        """How many patches are applied."""
        return len(self.patches)


@dataclass(frozen=True)
class PatchedTree:
    """The files of COMMIT (which REPO has) at PATH: VERSION of BASE with SERIES applied. Nobody writes there."""

    path: Path
    commit: str
    base: str
    version: str
    series: Series
    repo: Path | None = None

    def changed(self) -> list[str]:
        """The files that are not those of COMMIT any more: somebody has written into the cache. Takes a second.

        A base and its levels share files (hard links), so that one that was written into is another one in all of them.
        """
        if self.repo is None:
            return []
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            shutil.copyfile(self.repo / "index", index)  # which knows the files of the base by size and time
            told = Repository(self.repo).git("diff-index", "--name-only", self.commit, work_tree=self.path, index=index)
        names = [name for name in told.stdout.splitlines() if not (self.path / name).is_symlink()]
        recorded, found = self._recorded(self.repo, names), self._found(self.repo, names)
        return [name for name in names if found.get(name) != recorded.get(name)]

    def _recorded(self, repo: Path, names: Sequence[str]) -> dict[str, str]:
        """What COMMIT has under NAMES, each by its hash."""
        told = Repository(repo).git("ls-tree", "-r", self.commit, "--", *names).stdout if names else ""
        lines = [line.partition("\t") for line in told.splitlines()]
        return {name: entry.split()[2] for entry, _tab, name in lines}

    def _found(self, repo: Path, names: Sequence[str]) -> dict[str, str]:
        """What is there under NAMES, each by its hash."""
        there = [name for name in names if (self.path / name).is_file()]
        paths = [str(self.path / name) for name in there]
        told = Repository(repo).git("hash-object", "--no-filters", "--", *paths).stdout if there else ""
        return dict(zip(there, told.split(), strict=True))


def load(name: str, version: str, upto: int | None, root: Path) -> Series:
    """The first UPTO patches (None: all) of the series NAME for a kernel VERSION.

    NAME is a folder under ROOT/series, a folder of patches, an mbox, `git:PATH@A..B`
    or `none`. Raises UserError for anything else, for a series that is empty or that
    has no port for VERSION, and for patches that may not be applied.
    """
    patches = () if name == NONE else _patches(name, version, root)
    if upto is not None and not 0 <= upto <= len(patches):
        raise UserError(f"--upto {upto}: series {name} has {len(patches)} patches: choose from 0 to {len(patches)}")
    return Series(name, patches[:upto], len(patches), manifest(name, root))


def manifest(name: str, root: Path) -> Manifest | None:
    """The manifest of the series NAME; None when it has none. Needs no kernel and no git.

    Raises UserError for a name that nothing is known by, and for a manifest that is wrong.
    """
    if name == NONE or name.startswith("git:"):
        return None
    path = _place(name, root) / manifests.FILE
    return manifests.read(path) if path.is_file() else None


def pristine(name: str, base: str | None, root: Path, cache: Cache, report: Report) -> SourceTree:
    """The tree that the series NAME is for: BASE, or the first base of its manifest that can be had.

    Raises what source.resolve() raises.
    """
    if base:
        return resolve(base, cache, report)
    found = manifest(name, root)
    return resolve_first(found.bases if found else BASES, cache, report)


def apply(series: Series, tree: SourceTree, cache: Cache, report: Report) -> PatchedTree:
    """TREE with SERIES, one commit a patch.

    Raises UserError naming the patch, the file and the hunk that does not apply.
    """
    if not series.patches:
        return PatchedTree(tree.pristine, tree.commit, tree.base, tree.version, series, tree.repo)

    def make(place: Path) -> None:
        commit = _commit_all(series, tree, place / "index", report)
        report(Step(f"check out {tree.version} with {series.name}"))
        _check_out(tree, commit, place)
        (place / "tree.json").write_text(json.dumps({"commit": commit}))

    folder = cache.publish("trees", _key(series, tree), make, report)
    commit = str(json.loads((folder / "tree.json").read_text())["commit"])
    return PatchedTree(folder / "tree", commit, tree.base, tree.version, series, tree.repo)


def _patches(name: str, version: str, root: Path) -> tuple[Patch, ...]:
    if name.startswith("git:"):
        path, _, commits = name.removeprefix("git:").rpartition("@")
        if not path or ".." not in commits:
            raise UserError(f"{name}: say git:PATH@A..B, e.g. git:~/linux@v7.2..my-branch")
        return from_range(Path(path).expanduser().resolve(), commits)
    place = _place(name, root)
    if place.is_file():
        return from_mbox(place)
    if (place / manifests.FILE).is_file():
        return from_folder(_port(name, place, version))
    return from_folder(place)


def _place(name: str, root: Path) -> Path:
    """The folder or mbox that NAME means; what the project has goes before what is here."""
    known = {path.parent.name: path.parent for path in root.glob(f"series/*/{manifests.FILE}")}
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.exists():
        return path.resolve()
    raise unknown("series", name, [*known, NONE])


def _port(name: str, place: Path, version: str) -> Path:
    """The folder of the patches for VERSION."""
    wanted = re.match(r"\d+\.\d+", version)
    port = place / (wanted[0] if wanted else version)
    if not port.is_dir():
        ports = sorted(path.name for path in place.iterdir() if re.fullmatch(r"\d+\.\d+", path.name))
        has = f"it has {', '.join(ports)}" if ports else "it has none at all"
        raise UserError(f"series {name} has no port for {port.name}: {has}")
    return port


def _key(series: Series, tree: SourceTree) -> str:
    digest = hashlib.sha256(tree.commit.encode())
    for patch in series.patches:
        digest.update(hashlib.sha256(patch.diff).digest() + patch.subject.encode())
    return digest.hexdigest()[:16]


def _commit_all(series: Series, tree: SourceTree, index: Path, report: Report) -> str:
    """The last of the commits of SERIES on TREE, made in the scratch INDEX."""
    repository = Repository(tree.repo)
    repository.git("read-tree", tree.commit, index=index)
    commit = tree.commit
    for patch in series.patches:
        report(Step(f"apply {series.name} to {tree.version}", patch.number, series.level, "patches"))
        _apply_one(repository, patch, index, tree.version)
        commit = repository.commit(f"{patch.subject}\n", commit, index=index)
    index.unlink()
    repository.keep(f"series-{_key(series, tree)}", commit)
    return commit


def _apply_one(repository: Repository, patch: Patch, index: Path, version: str) -> None:
    """PATCH into INDEX only: whatever the diff says, no file is written."""
    argv = ("apply", "--cached", "--whitespace=nowarn", "-")
    result = repository.git(*argv, index=index, stdin=patch.diff, check=False)
    if result.status:
        raise UserError(f"{patch} does not apply to {version}: {refusal(result.stderr, patch.diff)}")


def refusal(stderr: str, diff: bytes) -> str:
    """Why git-apply refused DIFF: the file and the hunk, from its STDERR."""
    failed = re.search(r"^error: patch failed: (.+):(\d+)$", stderr, re.MULTILINE)
    if failed is None:
        lines = [line.removeprefix("error: ") for line in stderr.splitlines() if line.startswith("error: ")]
        return lines[0] if lines else stderr.strip()
    name, line = failed[1], failed[2]
    parts = re.split(rb"^--- .*\n(?=\+\+\+ )", diff, flags=re.MULTILINE)
    own = [part for part in parts if part.startswith(f"+++ b/{name}".encode())]
    starts = re.findall(rb"^@@ -(\d+)", own[0], re.MULTILINE) if own else []
    hunk = f"hunk {starts.index(line.encode()) + 1}, " if line.encode() in starts else ""
    return f"{name}, {hunk}line {line}"


def _check_out(tree: SourceTree, commit: str, place: Path) -> None:
    """The files of COMMIT in PLACE/tree; git replaces a file by a new one, never writes into it."""
    work_tree, index = place / "tree", place / "index"
    run(["cp", "--archive", "--link", tree.pristine, work_tree])
    shutil.copyfile(tree.repo / "index", index)
    Repository(tree.repo).git("read-tree", "-m", "-u", tree.commit, commit, work_tree=work_tree, index=index)
    index.unlink()
