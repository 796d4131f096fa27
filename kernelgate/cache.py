# SPDX-License-Identifier: GPL-2.0-only
"""The folder of things that are dear to make: sources, trees, builds, guest images.

Two rules keep it whole when a run is killed or two runs share it (promise 7):
an entry appears by one rename of a finished folder, and it is made under a lock.
Folders that are worked in place (a build, continued incrementally) are `workplace`s:
they are never taken for whole unless their maker left its stamp as the last act.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from kernelgate.errors import CommandError, InfrastructureError, UserError
from kernelgate.progress import Report, Step, silent

LAYOUT = "1"
"""Raise it when entries of an older project cannot be used by this one."""

_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "Out of diskspace")
"""What programs say on a full disk; the last is git's (csum-file.c)."""

_OWN_FILES = ("LAYOUT", "LAYOUT.draft", ".layout.lock")


def digest(files: Iterable[Path], *words: str) -> str:
    """A part of a key: a name for the contents of FILES, which are called what they are called, and for WORDS."""
    whole = hashlib.sha256("\0".join(words).encode())
    for path in files:
        whole.update(f"\0{path.name}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


@dataclass(frozen=True)
class Entry:
    """One folder of the cache; last_used in seconds since the epoch."""

    kind: str
    key: str
    path: Path
    last_used: float

    @property
    def size(self) -> int:
        """Bytes on the disk, found by walking the folder; a file with N names counts for an Nth."""
        return _size(self.path)


class Cache:
    """The cache at ROOT, made when missing.

    Raises UserError when ROOT holds another layout or something that is not a cache.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._open()

    def publish(self, kind: str, key: str, make: Callable[[Path], None], report: Report = silent) -> Path:
        """The folder KIND/KEY, made by MAKE in a temporary folder if it is not there yet."""
        path = self.root / kind / key
        with self.lock(kind, key, report):
            if not path.is_dir():
                path.parent.mkdir(exist_ok=True)
                with self._temporary() as place:
                    make(place)
                    place.rename(path)
            _touch(path)
        return path

    @contextmanager
    def workplace(self, kind: str, key: str, report: Report = silent) -> Iterator[Path]:
        """The folder KIND/KEY for this process alone, kept as it is between uses."""
        path = self.root / kind / key
        with self.lock(kind, key, report), _disk_errors():
            path.mkdir(parents=True, exist_ok=True)
            _touch(path)
            yield path

    @contextmanager
    def lock(self, kind: str, key: str, report: Report = silent) -> Iterator[None]:
        """Hold the lock of KIND/KEY; other runs wait, and tell REPORT that they do."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        with _acquired(filelock.FileLock(folder / f"{kind}-{key}.lock"), f"{kind}/{key}", report):
            yield

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first."""
        found = [
            Entry(folder.parent.name, folder.name, folder, _last_used(folder))
            for folder in self.root.glob("*/*")
            if folder.is_dir() and folder.parent.name not in ("locks", "tmp")
        ]
        return sorted(found, key=lambda entry: entry.last_used)

    def used(self, folder: Path) -> None:
        """Note that FOLDER, an entry's path, is used now."""
        _touch(folder)

    def remove(self, entry: Entry) -> None:
        """Take ENTRY away; first out of sight by a rename, so that a kill leaves no half of it."""
        with self.lock(entry.kind, entry.key), self._temporary() as place:
            if entry.path.is_dir():  # else another run was quicker
                entry.path.rename(place / "removed")

    def trim(self, limit: int) -> list[Entry]:
        """Remove the least recently used entries until the rest takes at most LIMIT bytes; returns them.

        What an entry shares with others by hard links is only freed with the last of
        them, so sizes are taken anew after each round.
        """
        removed: list[Entry] = []
        while excess := max(0, self.size() - limit):
            round_ = _enough(self.entries(), excess)
            if not round_:
                break
            for entry in round_:
                self.remove(entry)
            removed += round_
        return removed

    def trim_older(self, seconds: float) -> list[Entry]:
        """Remove the entries that were not used for SECONDS; returns them."""
        old = [entry for entry in self.entries() if time.time() - entry.last_used > seconds]
        for entry in old:
            self.remove(entry)
        return old

    def size(self) -> int:
        """Bytes that all entries take on the disk."""
        return sum(entry.size for entry in self.entries())

    def _open(self) -> None:
        marker = self.root / "LAYOUT"
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder: name one with --cache")
        with _disk_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            self._refuse_strangers(marker)
            with self._housekeeping():
                self._refuse_strangers(marker)
                if not marker.exists():
                    draft = self.root / "LAYOUT.draft"
                    draft.write_text(LAYOUT)
                    draft.rename(marker)
                self._sweep()
        found = marker.read_text().strip()
        if found != LAYOUT:
            raise UserError(f"{self.root} has layout {found}, this project needs {LAYOUT}: remove that folder")

    def _refuse_strangers(self, marker: Path) -> None:
        if not marker.exists() and any(path.name not in _OWN_FILES for path in self.root.iterdir()):
            raise UserError(f"{self.root} is not a cache of this project: name an empty folder with --cache")

    def _housekeeping(self) -> filelock.BaseFileLock:
        """The lock for moments in which no temporary folder may come or be judged abandoned."""
        return filelock.FileLock(self.root / ".layout.lock")

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A folder in tmp/, gone afterwards.

        Its maker holds the lock beside it. The kernel lets go of a lock when a process
        dies of whatever, so a folder whose lock is free was left by a killed run; a
        process number could be somebody else's by now, or of another container.
        """
        folder = self.root / "tmp"
        with _disk_errors(), contextlib.ExitStack() as stack:
            with self._housekeeping():
                folder.mkdir(exist_ok=True)
                place = Path(tempfile.mkdtemp(dir=folder))
                place.chmod(0o755)
                owner = filelock.FileLock(_owner_file(place))
                owner.acquire()
            stack.callback(_discard, place, owner)
            yield place

    def _sweep(self) -> None:
        """Remove what killed runs left in tmp/."""
        for place in (path for path in self.root.glob("tmp/*") if path.is_dir()):
            owner = filelock.FileLock(_owner_file(place))
            with contextlib.suppress(filelock.Timeout):
                owner.acquire(timeout=0)
                _discard(place, owner)


def default_root() -> Path:
    """Where the cache is unless somebody says otherwise: $KERNELGATE_CACHE or ~/.cache/kernelgate."""
    return Path(os.environ.get("KERNELGATE_CACHE") or Path.home() / ".cache" / "kernelgate")


def parse_size(text: str) -> int:
    """ "8G", "500M" or a number of bytes, as bytes. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise UserError(f"'{text}' is no size: say 8G or 500M")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def _enough(entries: list[Entry], excess: int) -> list[Entry]:
    """The first of ENTRIES that together free EXCESS bytes; all of them when they do not."""
    chosen: list[Entry] = []
    for entry in entries:
        if excess <= 0:
            break
        chosen.append(entry)
        excess -= entry.size
    return chosen


def _owner_file(place: Path) -> Path:
    return place.with_name(f"{place.name}.owner")


def _discard(place: Path, owner: filelock.BaseFileLock) -> None:
    """Remove PLACE, the lock last: until then it can be found by the next sweep."""
    shutil.rmtree(place, ignore_errors=True)
    _owner_file(place).unlink(missing_ok=True)
    owner.release()


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Tell a full or unwritable disk in one line."""
    try:
        yield
    except CommandError as error:
        if not any(words in error.output for words in _NO_SPACE):
            raise
        raise InfrastructureError(f"{error.argv[0]}: no space left: free some or name another --cache") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise InfrastructureError(
            f"{error.filename or 'the cache'}: {error.strerror}: free some space or name another --cache"
        ) from None


def _acquired(lock: filelock.BaseFileLock, what: str, report: Report) -> contextlib.AbstractContextManager[object]:
    """LOCK, taken; REPORT is told when that has to wait for another run's work on WHAT."""
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        report(Step(f"wait for another run, which makes {what}"))
        return lock.acquire()


def _touch(folder: Path) -> None:
    (folder / ".used").touch()


def _last_used(folder: Path) -> float:
    marker = folder / ".used"
    return marker.stat().st_mtime if marker.exists() else time.time()


def _size(folder: Path) -> int:
    """Bytes that FOLDER takes; os.walk, since a kernel tree has 95,000 files."""
    total = 0
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):  # somebody else is at work there
                stat = os.lstat(os.path.join(parent, name))  # noqa: PTH118
                total += stat.st_blocks * 512 // (1 if name in folders else stat.st_nlink)
    return total
