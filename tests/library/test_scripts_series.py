# SPDX-License-Identifier: GPL-2.0-only
"""scripts/walk and scripts/bisect as a person meets them: what they refuse before anything is built, how they stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_kernel import git, repository, two_patches

from kernelgate.command import Result, run

ROOT = Path(__file__).parents[2]
SCRIPTS = ("walk", "bisect")
PROGRESS = re.compile(r" \.\.\.$|: \d+ (?:of \d+ )?(?:files|patches), ")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A kernel of a few files with two patches."""
    return two_patches(repository(tmp_path / "linux"))


def argv(script: str, tmp_path: Path, *words: str) -> list[str]:
    places = [f"--cache={tmp_path / 'cache'}", f"--results={tmp_path / 'results'}"]
    return [sys.executable, str(ROOT / "scripts" / script), *places, *words]


def refused(script: str, tmp_path: Path, *words: str) -> str:
    """The line in which SCRIPT refuses WORDS."""
    ended: Result = run(argv(script, tmp_path, *words), check=False, cwd=tmp_path)
    assert ended.status == 4, ended.stderr
    said = [line for line in ended.stderr.splitlines() if not PROGRESS.search(line)]
    assert len(said) == 1, ended.stderr
    assert not list(tmp_path.glob("cache/builds"))
    return said[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_series_is_refused(script: str, tmp_path: Path, repo: Path) -> None:
    said = refused(script, tmp_path, "--series=frozen-bit-v5", f"--base=git:{repo}@base")
    assert said.startswith("unknown series 'frozen-bit-v5': did you mean frozen-bit-v4")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_series_without_patches_is_refused(script: str, tmp_path: Path, repo: Path) -> None:
    said = refused(script, tmp_path, "--series=none", f"--base=git:{repo}@base")
    assert said == "series none has no patches: name one with --series"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_range_the_wrong_way_round_is_refused(script: str, tmp_path: Path, repo: Path) -> None:
    said = refused(script, tmp_path, f"--series=git:{repo}@HEAD..base")
    assert said.endswith("holds no patches: name them as A..B, the older revision first")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_repository_that_is_not_there_is_refused(script: str, tmp_path: Path) -> None:
    assert refused(script, tmp_path, "--series=git:gone@a..b").endswith("gone does not exist: name a git repository")


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_empty_selection_is_an_error(script: str, tmp_path: Path, repo: Path) -> None:
    said = refused(script, tmp_path, "--series=git:linux@base..HEAD", "-k", "nothing_is_called_so")
    assert said.startswith("nothing is selected")


def test_an_unknown_case_is_refused(tmp_path: Path, repo: Path) -> None:
    assert "REF-99" in refused("bisect", tmp_path, f"--series=git:{repo}@base..HEAD", "--case=REF-99")


def test_a_patch_that_does_not_apply_has_no_bisect(tmp_path: Path, repo: Path) -> None:
    """The commits are made before anything is run."""
    git(repo, "tag", "top")
    git(repo, "checkout", "-q", "base")
    (repo / "mm/gup.c").write_text("nothing like it\n")
    git(repo, "commit", "-q", "-a", "-m", "another base")
    said = refused("bisect", tmp_path, f"--series=git:{repo}@base..top", f"--base=git:{repo}@HEAD", "--case=REF-04")
    assert said.startswith("patch 1 'mm: first' does not apply")


def test_stopped_by_hand_it_says_so_and_leaves_no_child(tmp_path: Path, repo: Path) -> None:
    words = argv("walk", tmp_path, f"--series=git:{repo}@base..HEAD", "-k", "page_ref")
    with subprocess.Popen(
        ["env", "--default-signal=INT", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as walk:  # what runs in the background ignores the signal otherwise
        deadline = time.monotonic() + 60
        while not children(walk.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        child = children(walk.pid)
        assert child
        os.kill(walk.pid, signal.SIGINT)
        said = walk.communicate(timeout=60)[1]
    assert walk.returncode == 130
    assert said.splitlines()[-1] == "stopped: the same command goes on where it was"
    deadline = time.monotonic() + 30
    while (left := [pid for pid in child if runs_still(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def runs_still(pid: int) -> bool:
    """Whether PID is a process that has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """The processes that PID has started and that still run."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in found.read_text().split()] if found.exists() else []
