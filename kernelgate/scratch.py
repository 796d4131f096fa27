# SPDX-License-Identifier: GPL-2.0-only
"""Folders that live as long as a run: guests' memory, snapshots, keys.

A killed run cannot remove its own, so the next one does: each folder has a lock that
its run holds, and one whose lock is free belongs to nobody (promise 7).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from kernelgate.errors import UserError

MEMORY = Path("/dev/shm")
ROOMY = 4 << 30
"""Bytes that MEMORY must have free to be used: the snapshots of all machines come to less than one GiB."""
LOCK = ".lock"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder, removed with all that is in it when the context is left.

    It is in memory where there is room: a guest whose memory is a file on a disk
    takes a fifth of a second longer to boot.
    """
    root = _root(MEMORY if _is_roomy(MEMORY) else Path(tempfile.gettempdir()))
    with filelock.FileLock(root / LOCK):  # nobody sweeps between the next two lines
        made = Path(tempfile.mkdtemp(dir=root))
        lock = filelock.FileLock(made / LOCK)
        lock.acquire()
        _sweep(root)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        lock.release()


def _is_roomy(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free >= ROOMY


def _root(place: Path) -> Path:
    """The folder of all of this user's runs in PLACE, which is everybody's: nobody else may have made it."""
    root = place / f"kernelgate-{os.getuid()}"
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise UserError(f"{root} is not ours: remove it, or set TMPDIR to a folder of your own")
    return root


def _sweep(root: Path) -> None:
    """Remove the folders of runs that are no more."""
    for left in root.iterdir():
        if not left.is_dir():
            continue
        with suppress(filelock.Timeout), filelock.FileLock(left / LOCK, timeout=0):
            shutil.rmtree(left, ignore_errors=True)
