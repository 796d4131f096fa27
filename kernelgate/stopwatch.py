# SPDX-License-Identifier: GPL-2.0-only
"""Time as a guest lives it: what a busy host keeps from it is neither its slowness nor its lockup."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

IDLE_SHARE = 0.25
"""How much of a second counts in which nobody can say whether QEMU was given a processor."""


class Stopwatch:
    """Seconds as a guest lives them, since the making of this: what a busy host keeps from it does not count.

    A second counts whole where the process PID had a processor for it, and where neither it nor we had to wait for
    one: then the guest is asleep, be it for ever. Else it counts as IDLE_SHARE of one at least, so that each wait ends.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.restart()

    def restart(self) -> None:
        """Begin again at 0."""
        self._wall, self._busy, self._waits = time.monotonic(), cpu_seconds(self._pid), self._waited()

    def seconds(self) -> float:
        """The time since the beginning."""
        wall = time.monotonic() - self._wall
        waits = self._waited()
        unhindered = 0.0
        if any(waits.values()):
            unhindered = wall - sum(wait - self._waits.get(thread, 0.0) for thread, wait in waits.items())
        return max(IDLE_SHARE * wall, min(wall, cpu_seconds(self._pid) - self._busy), unhindered)

    def share(self) -> float:
        """What part of the time on the wall this is: 1 for a guest that was kept from nothing."""
        return self.seconds() / max(time.monotonic() - self._wall, sys.float_info.epsilon)

    def exceeds(self, limit: float) -> bool:
        """Whether more than LIMIT seconds have gone by; cheap while they cannot have, even on the wall."""
        return self.older(limit) and self.seconds() > limit

    def older(self, limit: float) -> bool:
        """Whether more than LIMIT seconds have gone by on the wall."""
        return time.monotonic() - self._wall > limit

    def _waited(self) -> dict[str, float]:
        """How long each thread of QEMU and of ours has waited for a processor while it had something to do."""
        return {**_waits(self._pid), **_waits(os.getpid())}


SPAN_SECONDS = 10.0
"""How far back a Pulse looks at least, once it is that old; at most twice as far. A guest's watchdogs bark after 4 to
20 s (topology.py)."""
SETTLED_SECONDS = 3.0
"""Over less than this a share is too rough, and nothing barks so soon."""
STARVED_SHARE = 0.5
"""A guest that lived less than this share of the time is not to blame for being late."""


class Pulse:
    """Whether the host has starved the process PID of late.

    A guest's watchdogs count seconds of the wall (kernel/watchdog.c, kernel/rcu/tree_stall.h): on a host that gives it
    no processor they bark at a kernel that has done nothing wrong.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._spans = [Stopwatch(pid)]

    def beat(self) -> None:
        """Note that time goes on; to be called every now and then."""
        if self._spans[-1].older(SPAN_SECONDS):
            self._spans = [self._spans[-1], Stopwatch(self._pid)]

    def starved(self) -> bool:
        """Whether the guest has lived less than STARVED_SHARE of the last seconds, or of some more."""
        return any(span.older(SETTLED_SECONDS) and span.share() < STARVED_SHARE for span in self._spans)


def _waits(pid: int) -> dict[str, float]:
    """The waits of each thread of PID in seconds: run_delay of Documentation/scheduler/sched-stats.rst.

    Nothing for a process that has ended; all 0 where the host's kernel does not account for them.
    """
    found = {}
    for place in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            found[place.parent.name] = int(place.read_text().split()[1]) / 1e9
    return found


def cpu_seconds(pid: int) -> float:
    """The processor time that PID has had (utime and stime of proc(5)); 0 for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
