# SPDX-License-Identifier: GPL-2.0-only
"""What stress-ng leaves is no pass by its status alone."""

from dataclasses import replace

import pytest

from kernelgate.dmesg import parse_kmsg
from kernelgate.soak import Stressor
from kernelgate.verdict import Evidence, Outcome, judge_soak

WORKED = """\
stress-ng: info:  [84] dispatching hogs: 4 mmap
stress-ng: metrc: [84] stressor       bogo ops real time  usr time  sys time   bogo ops/s     bogo ops/s
stress-ng: metrc: [84]                           (secs)    (secs)    (secs)   (real time) (usr+sys time)
stress-ng: metrc: [84] mmap                 31      4.20      1.06      7.15         7.38           3.78
stress-ng: info:  [84] successful run completed in 4.33s

# /sys/kernel/debug/kg_probe/scan: bad 0
"""
GOOD = Evidence("stress-ng", 0, WORKED, parse_kmsg("6,10,1000,-;brd: module loaded\n"), 10, taint_after=1 << 12)


def test_work_that_leaves_a_sound_guest_passes() -> None:
    assert judge_soak(GOOD, "mmap").passed


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (replace(GOOD, status=2), "ended by status 2"),
        (replace(GOOD, output=WORKED.replace(" 31 ", "  0 ")), "has done nothing"),
        (replace(GOOD, output=WORKED.replace("metrc", "other")), "has done nothing"),
        (replace(GOOD, output=WORKED.replace("bad 0", "bad 7")), "7 pages that have to look frozen do not"),
        (replace(GOOD, output=WORKED[: WORKED.index("#")]), "the pages were not looked at"),
        (
            replace(GOOD, records=parse_kmsg("4,10,1000,-;BUG: Bad page state in process stress-ng  pfn:4a3c\n")),
            "bad page state",
        ),
        (replace(GOOD, taint_after=1 << 12 | 1 << 9), "taint"),
    ],
)
def test_work_does_not_pass_with(evidence: Evidence, why: str) -> None:
    judged = judge_soak(evidence, "mmap")
    assert judged.outcome is Outcome.FAILED and why in judged.explain()


def test_guest_that_died_is_no_pass() -> None:
    judged = judge_soak(Evidence("stress-ng", console="", death="the guest ended by itself"), "mmap")
    assert judged.outcome is Outcome.CRASHED and "has done nothing" not in judged.explain()


@pytest.mark.parametrize("status", [3, 4])
def test_what_cannot_be_done_is_skipped_unless_the_guest_suffered(status: int) -> None:
    cannot = replace(GOOD, status=status, output="stress-ng: warn: numa: no NUMA nodes\n")
    assert judge_soak(cannot, "numa").skipped and "no NUMA nodes" in judge_soak(cannot, "numa").explain()
    assert judge_soak(replace(cannot, taint_after=1 << 12 | 1 << 9), "numa").outcome is Outcome.FAILED


def test_files_are_kept_where_the_mount_says() -> None:
    assert "tmpfs" in Stressor("vm").prepare
    assert "mount -t ext4 -o dax /dev/pmem0" in Stressor("mmap", disk="dax").prepare
    assert "namespace0.0" not in Stressor("mmap", disk="rw").prepare
    assert Stressor("mmap", disk="dax").name == "mmap-dax"
    assert "--numa 1 " in Stressor("numa", workers=1).line(5) and "--timeout 5s" in Stressor("numa").line(5)
