# SPDX-License-Identifier: GPL-2.0-only
"""Waiting is measured in the guest's own time, so that a busy host is not taken for a hang."""

import sys
import time

import pytest

from kernelgate import command
from kernelgate.machine import IDLE_SHARE, Stopwatch


def watched(program: str, seconds: float) -> float:
    """What a stopwatch on a Python PROGRAM shows after SECONDS."""
    with command.start([sys.executable, "-c", program]) as child:
        stopwatch = Stopwatch(child.pid)
        time.sleep(seconds)
        return stopwatch.seconds()


def test_a_process_that_sleeps_lives_slowly() -> None:
    assert watched("import time; time.sleep(9)", 0.8) == pytest.approx(IDLE_SHARE * 0.8, abs=0.15)


def test_a_process_that_works_lives_faster_than_one_that_sleeps() -> None:
    with command.start([sys.executable, "-c", "while True: pass"]) as child:
        stopwatch, begun = Stopwatch(child.pid), time.monotonic()
        while (wall := time.monotonic() - begun) < 30 and stopwatch.seconds() < IDLE_SHARE * wall + 0.1:
            time.sleep(0.05)
        assert stopwatch.seconds() >= IDLE_SHARE * wall + 0.1


def test_time_never_runs_faster_than_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch = Stopwatch(0)
    monkeypatch.setattr("kernelgate.machine._cpu_seconds", lambda _pid: 1000.0)
    assert stopwatch.seconds() < 10


def test_restart_begins_at_zero() -> None:
    stopwatch = Stopwatch(0)
    time.sleep(0.4)
    before = stopwatch.seconds()
    stopwatch.restart()
    assert stopwatch.seconds() < before
