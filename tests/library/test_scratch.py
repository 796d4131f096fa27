# SPDX-License-Identifier: GPL-2.0-only
"""Scratch folders vanish with their run, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernelgate import scratch
from kernelgate.errors import UserError

HOLDER = """
import sys, time
from pathlib import Path
from kernelgate import scratch
scratch.MEMORY = Path(sys.argv[1])
scratch.ROOMY = 0
with scratch.folder() as folder:
    (folder / "memory0").write_text("64 MB of it")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own instead of /dev/shm."""
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "ROOMY", 0)
    return tmp_path


def holder(place: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Another process that holds a folder, and that folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", HOLDER, str(place)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_folder_is_ours_alone_and_gone_afterwards() -> None:
    with scratch.folder() as folder:
        (folder / "key").write_text("secret")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_folder_of_a_killed_run_is_removed_by_the_next(place: Path) -> None:
    process, left = holder(place)
    end(process)
    assert (left / "memory0").exists(), "nobody was there to remove it"
    with scratch.folder() as folder:
        assert not left.exists()
        assert folder.exists()


def test_folder_of_a_living_run_stays(place: Path) -> None:
    process, held = holder(place)
    try:
        with scratch.folder() as folder:
            assert folder != held
            assert (held / "memory0").exists()
    finally:
        end(process)


def test_without_room_in_memory_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(disk))
    monkeypatch.setattr(scratch, "ROOMY", 1 << 60)
    with scratch.folder() as folder:
        assert folder.is_relative_to(disk)


def test_folder_laid_by_somebody_else_is_not_trusted(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (place / f"kernelgate-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is not ours"):
        with scratch.folder():
            pass
