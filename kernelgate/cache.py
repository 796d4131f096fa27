# SPDX-License-Identifier: GPL-2.0-only
"""The folder of things that are dear to make: sources, trees, builds, guest images.

Two rules keep it whole when a run is killed or two runs share it (promise 7):
an entry appears by one rename of a finished folder, and it is made under a lock.
Folders that are worked in place (a build, continued incrementally) are `workplace`s:
they are never taken for whole unless their maker left its stamp as the last act.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from kernelgate.errors import InfrastructureError, UserError

LAYOUT = "1"
"""Raise it when entries of an older project cannot be used by this one."""


@dataclass(frozen=True)
class Entry:
    """One folder of the cache; size in bytes, last_used in seconds since the epoch."""

    kind: str
    key: str
    path: Path
    size: int
    last_used: float


class Cache:
    """The cache at ROOT, made when missing.

    Raises UserError when ROOT holds another layout or something that is not a cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._open()

    def publish(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        """The folder KIND/KEY, made by MAKE in a temporary folder if it is not there yet."""
        path = self.root / kind / key
        with self.lock(kind, key):
            if not path.is_dir():
                path.parent.mkdir(exist_ok=True)
                with self._temporary() as place:
                    make(place)
                    place.rename(path)
            _touch(path)
        return path

    @contextmanager
    def workplace(self, kind: str, key: str) -> Iterator[Path]:
        """The folder KIND/KEY for this process alone, kept as it is between uses."""
        path = self.root / kind / key
        with self.lock(kind, key), _disk_errors():
            path.mkdir(parents=True, exist_ok=True)
            _touch(path)
            yield path

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Hold the lock of KIND/KEY; other runs wait."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        with filelock.FileLock(folder / f"{kind}-{key}.lock"):
            yield

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first."""
        found = [
            Entry(folder.parent.name, folder.name, folder, _size(folder), _last_used(folder))
            for folder in self.root.glob("*/*")
            if folder.is_dir() and folder.parent.name not in ("locks", "tmp")
        ]
        return sorted(found, key=lambda entry: entry.last_used)

    def remove(self, entry: Entry) -> None:
        """Take ENTRY away; first out of sight by a rename, so that a kill leaves no half of it."""
        with self.lock(entry.kind, entry.key), self._temporary() as place:
            entry.path.rename(place / "removed")

    def _open(self) -> None:
        marker = self.root / "LAYOUT"
        with _disk_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.root / ".layout.lock"):
                strangers = [p for p in self.root.iterdir() if p.name not in ("LAYOUT", ".layout.lock")]
                if not marker.exists() and strangers:
                    raise UserError(f"{self.root} is not a cache of this project: name an empty folder with --cache")
                if not marker.exists():
                    marker.write_text(LAYOUT)
        found = marker.read_text().strip()
        if found != LAYOUT:
            raise UserError(f"{self.root} has layout {found}, this project needs {LAYOUT}: remove that folder")

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = self.root / "tmp"
        folder.mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder))
        place.chmod(0o755)
        try:
            with _disk_errors():
                yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Tell a full or unwritable disk in one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise InfrastructureError(
            f"{error.filename}: {error.strerror}: free some space or name another --cache"
        ) from None


def _touch(folder: Path) -> None:
    (folder / ".used").touch()


def _last_used(folder: Path) -> float:
    marker = folder / ".used"
    return marker.stat().st_mtime if marker.exists() else time.time()


def _size(folder: Path) -> int:
    return sum(p.lstat().st_blocks * 512 for p in folder.rglob("*"))
