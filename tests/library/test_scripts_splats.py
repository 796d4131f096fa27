# SPDX-License-Identifier: GPL-2.0-only
"""scripts/splats: what it says of a saved log, and its exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kernelgate import command

SCRIPT = Path(__file__).parents[2] / "scripts" / "splats"
BAD = "[    1.000000] up\n[    2.500000] BUG: Bad rss-counter state mm:1 type:MM_ANONPAGES val:1 Comm:sh Pid:7\n"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.log"
    path.write_text(BAD)
    return path


def splats(*arguments: str | Path, stdin: str = "") -> command.Result:
    return command.run([sys.executable, SCRIPT, *arguments], stdin=stdin, check=False)


def test_complaint_is_one_line_and_status_1(bad: Path) -> None:
    result = splats(bad)
    assert result.status == 1
    assert result.stdout.startswith(f"{bad}: bad rss-counter state (BAD_RSS_COUNTER, ")
    assert result.stdout.endswith(", at 2.500000 s)\n")
    assert result.stdout.count("\n") == 1


def test_clean_log_is_silence_and_status_0(tmp_path: Path) -> None:
    (tmp_path / "clean.log").write_bytes(b"[    1.000000] up \xff\r\n")
    result = splats(tmp_path / "clean.log")
    assert (result.status, result.stdout, result.stderr) == (0, "", "")


def test_json_has_all_of_it(bad: Path) -> None:
    (splat,) = json.loads(splats("--json", bad).stdout)
    assert (splat["log"], splat["kind"], splat["seconds"]) == (str(bad), "BAD_RSS_COUNTER", 2.5)
    assert splat["lines"] == [BAD.splitlines()[1][15:]]


def test_standard_input_is_read_for_a_dash() -> None:
    assert splats("-", stdin=BAD).status == 1


@pytest.mark.parametrize("name", ["no-such.log", "."])
def test_unreadable_file_is_one_line_and_status_4(tmp_path: Path, bad: Path, name: str) -> None:
    result = splats(bad, tmp_path / name)
    assert result.status == 4
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / name) in result.stderr
