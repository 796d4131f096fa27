# SPDX-License-Identifier: GPL-2.0-only
"""The patch levels of a series: level 0 is the base, level N has the first N patches."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kernelgate import binary, build, forward, series
from kernelgate.build import Kernel, Order
from kernelgate.cache import Cache
from kernelgate.errors import UserError
from kernelgate.git import Repository
from kernelgate.patches import Patch
from kernelgate.progress import Report, silent
from kernelgate.series import PatchedTree
from kernelgate.source import SourceTree
from kernelgate.variant import assertions, detect

STATE_FILES = ("kmod/*", "images/programs/*", "kconfigs/*", "tests/*/*.py", "tests/*/*.toml", "conftest.py")
"""What of the project decides over an outcome besides the tree; what is known of another state says nothing."""


@dataclass(frozen=True)
class Levels:
    """A series on its base, PRISTINE, in the project at ROOT."""

    name: str
    pristine: SourceTree
    root: Path
    cache: Cache
    report: Report = silent

    @functools.cached_property
    def patches(self) -> tuple[Patch, ...]:
        """All patches. Raises UserError where there is none."""
        found = series.load(self.name, self.pristine.version, None, self.root).patches
        if not found:
            raise UserError(f"series {self.name} has no patches: name one with --series")
        return found

    @property
    def total(self) -> int:
        return len(self.patches)

    def title(self, level: int) -> str:
        """ "patch 3 'mm: …'", or the base."""
        return str(self.patches[level - 1]) if level else f"the base {self.pristine.version}"

    def tree(self, level: int) -> PatchedTree:
        """The tree of LEVEL. Raises UserError naming the patch that does not apply."""
        wanted = series.load(self.name, self.pristine.version, level, self.root)
        return series.apply(wanted, self.pristine, self.cache, self.report)

    @functools.cached_property
    def commits(self) -> tuple[str, ...]:
        """The commit of each level. Raises UserError naming the first patch that does not apply."""
        top = self.tree(self.total).commit
        repository = Repository(self.pristine.repo)
        listed = repository.git("rev-list", "--reverse", f"{self.pristine.commit}..{top}").stdout.split()
        return (self.pristine.commit, *listed)

    def kernel(self, level: int, arch: str, config: str, jobs: int | None = None) -> Kernel:
        """The kernel of LEVEL, made from that of another level where there is one. Raises what build() raises."""
        return forward.make(self.pristine, Order(self.tree(level), arch, config, self.cache, jobs, self.report))

    def identity(self, level: int, kernel: Kernel) -> str:
        """A hash of all that decides what a guest of KERNEL, that of LEVEL, does and is expected to do.

        Its allocated sections, those of the test modules built against it, and the rules that its headers follow.
        """
        modules = build.build_modules(kernel, self.root / "kmod", self.cache, self.report)
        manifest = series.manifest(self.name, self.root) if level == self.total else None
        form = manifest.assertions if manifest else assertions(kernel.source_dir)
        rules = f"{detect(kernel.source_dir).value} {form.value}"
        parts = [binary.digest(kernel.vmlinux), binary.digest_all(made.path for made in modules.values()), rules]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def key(self, words: Iterable[str]) -> str:
        """A short hash of the series, its base, the tests as they are now, and WORDS."""
        digest = hashlib.sha256("\0".join([self.pristine.commit, *words]).encode())
        for patch in self.patches:
            digest.update(hashlib.sha256(patch.diff).digest())
        for path in sorted(path for pattern in STATE_FILES for path in self.root.glob(pattern) if path.is_file()):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:12]


def of(name: str, base: str | None, root: Path, cache: Cache, report: Report) -> Levels:
    """The levels of the series NAME on BASE; without one, on the range's own beginning or the manifest's first base.

    Raises UserError for what cannot be had, InfrastructureError where the base cannot be fetched.
    """
    if base is None and name.startswith("git:"):
        base = name.partition("..")[0]
    return Levels(name, series.pristine(name, base, root, cache, report), root, cache, report)
