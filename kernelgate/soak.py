# SPDX-License-Identifier: GPL-2.0-only
"""What stress-ng does to memory for a while, each kind of it a stressor: the soak (tests/under_stress/).

It stands in for xfstests, which the distribution does not package.
"""

from __future__ import annotations

from dataclasses import dataclass

FOLDER = "/tmp/soak"
WORKERS = 4

_PAGES = """
if [ "$(cat /sys/block/pmem0/queue/dax)" = 0 ]; then
echo namespace0.0 > /sys/bus/nd/drivers/nd_pmem/unbind
echo ram > /sys/bus/nd/devices/pfn0.0/mode
echo 6b67686f-0000-4000-8000-6b67686f0001 > /sys/bus/nd/devices/pfn0.0/uuid
echo namespace0.0 > /sys/bus/nd/devices/pfn0.0/namespace
echo pfn0.0 > /sys/bus/nd/drivers/nd_pmem/bind
fi
"""
"""Persistent memory that came without struct pages gets them (images/programs/kg_pmem.h)."""


@dataclass(frozen=True)
class Stressor:
    """One of stress-ng's stressors, with more OPTIONS for it, in so many WORKERS at once.

    disk is how its files are kept: "" for memory alone (tmpfs), or the options of a mount of ext4.
    """

    stressor: str
    options: str = ""
    disk: str = ""
    workers: int = WORKERS

    @property
    def name(self) -> str:
        """E.g. "mmap", or "mmap-dax"."""
        return f"{self.stressor}-{self.disk}" if self.disk else self.stressor

    @property
    def prepare(self) -> str:
        """What a shell in the guest does before."""
        if not self.disk:
            return f"mkdir -p {FOLDER} && mount -t tmpfs none {FOLDER}"
        pages = _PAGES if self.disk == "dax" else ""
        make = f"mkdir -p {FOLDER} && busybox mke2fs -b 4096 /dev/pmem0 >/dev/null"
        return f"{pages}{make} && mount -t ext4 -o {self.disk} /dev/pmem0 {FOLDER}"

    def line(self, seconds: int) -> str:
        """The command, which works for so many SECONDS and looks at what it has written."""
        return (
            f"cd {FOLDER} && stress-ng --{self.stressor} {self.workers} {self.options} --timeout {seconds}s --verify "
            "--metrics-brief --oomable"
        )
