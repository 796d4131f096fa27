# SPDX-License-Identifier: GPL-2.0-only
"""FP-06, FP-07, NUMA-*, HTLB-*, BIS-COMP: what user space can force, each in a pristine guest."""

from typing import Any

import pytest

from kernelgate.machine import Machine
from kernelgate.selection import Target
from kernelgate.suites import Case

BLOCK = 128
"""One of the kernel's memory blocks, in MiB, on both architectures (4 KiB pages)."""

OUTCOMES = pytest.mark.configurations("debug_vm", "production")
"""With DEBUG_VM a wrong count ends the guest, without it the page is lost, or does harm later."""

TWO_NODES = pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])


@OUTCOMES
@TWO_NODES
@pytest.mark.program("kg_charge")
def test_charge_that_fails(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@TWO_NODES
@pytest.mark.program("kg_policy")
def test_memory_policy(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@TWO_NODES
@pytest.mark.program("kg_compaction")
def test_compaction(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@TWO_NODES
@pytest.mark.program("kg_hugetlb_pool")
def test_huge_pages(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@pytest.mark.program("kg_hugetlb_cma")
@pytest.mark.machines(x86_64=["hugetlb-cma"], arm64=["hugetlb-cma"])
def test_huge_pages_of_an_area(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_hugetlb_offline")
@pytest.mark.machines(x86_64=["hotplug"], arm64=["virtio-mem"])
def test_huge_pages_of_a_block_that_goes_offline(gate: Any, target: Target, case: Case, judged: Any) -> None:
    def plug(running: Machine) -> None:
        if target.machine == "hotplug":
            running.plug_memory(BLOCK)

    judged(gate.program(target, "kg_hugetlb_offline", case, plug))
