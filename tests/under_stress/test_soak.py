# SPDX-License-Identifier: GPL-2.0-only
"""SOAK-01: memory under stress for a while, each kind by itself; only where -m soak asks for it."""

from typing import Any

import pytest

from kernelgate.selection import Target
from kernelgate.soak import Stressor

pytestmark = [
    pytest.mark.soak,
    pytest.mark.configurations("debug_vm", "production", "kasan", "kcsan", "lockdep"),
    pytest.mark.machines(x86_64=["soak"], arm64=["soak"]),
]

# Not madvise, which poisons pages where root asks, and calls the signals that come of it a failure.
MEMORY = (
    Stressor("vm", "--vm-bytes 64M --vm-method all"),
    Stressor("mmap", "--mmap-bytes 32M"),
    Stressor("mmapfork"),
    Stressor("mmapmany"),
    Stressor("mremap", "--mremap-bytes 16M"),
    Stressor("mlock"),
    Stressor("mprotect"),
    Stressor("munmap"),
    Stressor("memfd", "--memfd-bytes 32M"),
    Stressor("fault"),
    Stressor("fork", "--fork-vm"),
    Stressor("numa", workers=1),
    Stressor("pagemove", "--pagemove-bytes 4M"),
    Stressor("remap"),
    Stressor("vm-splice", "--vm-splice-bytes 64K"),
)
FILES = tuple(
    Stressor(name, options, disk)
    for disk in ("rw", "dax")
    for name, options in (
        ("fallocate", "--fallocate-bytes 2M"),
        ("hdd", "--hdd-bytes 16M"),
        ("mmap", "--mmap-bytes 8M --mmap-file"),
        ("msync", "--msync-bytes 4M"),
        ("readahead", "--readahead-bytes 16M"),
        ("sendfile", "--sendfile-size 4M"),
        ("splice", "--splice-bytes 64K"),
    )
)


@pytest.mark.case("SOAK-01")
@pytest.mark.parametrize("case", MEMORY + FILES, ids=lambda stressor: stressor.name)
def test_soak(pytestconfig: pytest.Config, gate: Any, target: Target, case: Stressor, judged: Any) -> None:
    judged(gate.soak(target, case, pytestconfig.getoption("--soak-seconds")))
