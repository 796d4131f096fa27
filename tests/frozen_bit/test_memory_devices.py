# SPDX-License-Identifier: GPL-2.0-only
"""DAX-*, VM-01, HP-01, KHO-01: pages that nobody has had yet, memory that comes and goes, and memory handed over."""

from typing import Any

import pytest

from kernelgate.machine import Machine
from kernelgate.selection import Target
from kernelgate.suites import Case

MODULE = 128
"""One of the kernel's memory blocks, in MiB, on both architectures (4 KiB pages)."""

SIZES = {"shrunk_device_takes_memory_away": 64, "grown_device_gives_frozen_pages": 256}
"""What a virtio-mem device is asked for before a case that is about another size than its 192 MiB, in MiB."""


@pytest.mark.program("kg_dax")
@pytest.mark.machines(x86_64=["nvdimm"], arm64=["nvdimm"])
def test_dax(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_virtio_mem")
@pytest.mark.machines(x86_64=["virtio-mem"], arm64=["virtio-mem"])
def test_virtio_mem(gate: Any, target: Target, case: Case, judged: Any) -> None:
    def resize(running: Machine) -> None:
        if case.name in SIZES and target.machine == "virtio-mem":
            running.resize_memory(SIZES[case.name])

    judged(gate.program(target, "kg_virtio_mem", case, resize))


@pytest.mark.program("kg_hotplug")
@pytest.mark.machines(x86_64=["hotplug"], arm64=["virtio-mem"])
def test_hotplug(gate: Any, target: Target, case: Case, judged: Any) -> None:
    """arm64 has no firmware here that would announce a module: its block is a virtio-mem device's."""

    def plug(running: Machine) -> None:
        if target.machine == "hotplug":
            running.plug_memory(MODULE)

    judged(gate.program(target, "kg_hotplug", case, plug))


@pytest.mark.suite("kg_kho")
@pytest.mark.machines(arm64=["kexec"])
def test_handover(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
