# SPDX-License-Identifier: GPL-2.0-only
"""Waiting is measured in the guest's own time, so that a busy host is not taken for a hang, nor a hang for one."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kernelgate import command
from kernelgate.stopwatch import IDLE_SHARE, SETTLED_SECONDS, SPAN_SECONDS, Pulse, Stopwatch

SPIN = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"
SLEEP = "import time; time.sleep(60)"
RIVALS = 3


def watched(program: str, seconds: float) -> float:
    """What a stopwatch on a Python PROGRAM shows after SECONDS."""
    with command.start([sys.executable, "-c", program]) as child:
        time.sleep(0.5)  # Python starts
        stopwatch = Stopwatch(child.pid)
        time.sleep(seconds)
        return stopwatch.seconds()


def waits(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Have each process wait for a processor for SHARE of the time."""
    monkeypatch.setattr("kernelgate.stopwatch._waits", lambda pid: {str(pid): share * time.monotonic()})


@pytest.fixture
def rivals() -> Iterator[None]:
    """Processes that leave one processor to a fourth one for a quarter of the time."""
    with ExitStack() as stack:
        for _ in range(RIVALS):
            stack.enter_context(command.start([sys.executable, "-c", SPIN]))
        time.sleep(0.5)
        yield


def test_a_process_that_sleeps_unhindered_lives_as_fast_as_the_wall() -> None:
    assert watched(SLEEP, 2.0) > 2.0 * (IDLE_SHARE + 0.25)


def test_a_process_that_is_kept_from_working_lives_slowly(rivals: None) -> None:
    assert watched(SPIN, 2.0) < 2.0 * 0.75


def test_a_process_that_works_lives_faster_than_one_that_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    waits(monkeypatch, 0.5)  # two of them: nobody can be sure of any time
    with command.start([sys.executable, "-c", "while True: pass"]) as child:
        stopwatch, begun = Stopwatch(child.pid), time.monotonic()
        while (wall := time.monotonic() - begun) < 30 and stopwatch.seconds() < IDLE_SHARE * wall + 0.1:
            time.sleep(0.05)
        assert stopwatch.seconds() >= IDLE_SHARE * wall + 0.1


def test_time_in_which_somebody_waited_counts_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    waits(monkeypatch, 0.5)
    assert watched(SLEEP, 1.0) == pytest.approx(IDLE_SHARE, abs=0.15)


def test_our_own_waits_are_not_the_guests_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {True: 1.0, False: 0.001}
    monkeypatch.setattr(
        "kernelgate.stopwatch._waits", lambda pid: {str(pid): ours[pid == os.getpid()] * time.monotonic()}
    )
    assert watched(SLEEP, 1.0) == pytest.approx(IDLE_SHARE, abs=0.15)


def test_host_that_does_not_account_for_waits_is_not_believed_to_be_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    waits(monkeypatch, 0.0)
    assert watched(SLEEP, 1.0) == pytest.approx(IDLE_SHARE, abs=0.15)


def test_time_never_runs_faster_than_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch = Stopwatch(0)
    monkeypatch.setattr("kernelgate.stopwatch.cpu_seconds", lambda _pid: 1000.0)
    assert stopwatch.seconds() < 10


def test_restart_begins_at_zero() -> None:
    stopwatch = Stopwatch(0)
    time.sleep(0.4)
    before = stopwatch.seconds()
    stopwatch.restart()
    assert stopwatch.seconds() < before


def test_limit_is_exceeded_when_its_seconds_are() -> None:
    stopwatch = Stopwatch(0)
    assert not stopwatch.exceeds(0.2)
    time.sleep(0.2 / IDLE_SHARE)
    assert stopwatch.exceeds(0.2)


def test_a_process_that_is_kept_from_working_is_starved(rivals: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelgate.stopwatch.SETTLED_SECONDS", 1.5)
    with command.start([sys.executable, "-c", SPIN]) as child:
        time.sleep(0.5)  # Python starts
        pulse = Pulse(child.pid)
        time.sleep(2.0)
        assert pulse.starved()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that goes by as the test says: [now, the processor time of the guest]."""
    time_of = [100.0, 0.0]
    monkeypatch.setattr("kernelgate.stopwatch.time.monotonic", lambda: time_of[0])
    monkeypatch.setattr("kernelgate.stopwatch.cpu_seconds", lambda _pid: time_of[1])
    monkeypatch.setattr("kernelgate.stopwatch._waits", lambda pid: {str(pid): time_of[0] - time_of[1]})
    return time_of


def live(clock: list[float], pulse: Pulse, seconds: float, share: float) -> None:
    for _ in range(int(seconds)):
        clock[0] += 1.0
        clock[1] += share
        pulse.beat()


def test_starving_is_not_told_before_it_is_certain(clock: list[float]) -> None:
    pulse = Pulse(0)
    live(clock, pulse, SETTLED_SECONDS, 0.3)
    assert not pulse.starved()
    live(clock, pulse, 1, 0.3)
    assert pulse.starved()


def test_a_good_hour_does_not_hide_the_hungry_seconds_after_it(clock: list[float]) -> None:
    pulse = Pulse(0)
    live(clock, pulse, 3600, 1.0)
    assert not pulse.starved()
    live(clock, pulse, 2 * SPAN_SECONDS, 0.3)
    assert pulse.starved()


def test_hungry_seconds_are_forgotten_in_time(clock: list[float]) -> None:
    pulse = Pulse(0)
    live(clock, pulse, 3600, 0.3)
    live(clock, pulse, 3 * SPAN_SECONDS, 1.0)
    assert not pulse.starved()
