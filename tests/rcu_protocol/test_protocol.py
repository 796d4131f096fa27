# SPDX-License-Identifier: GPL-2.0-only
"""RCU-01: whoever takes a reference on a page that he has only found is a reader of RCU.

The kernel says who is not, where series/rcu-protocol and its option are in it:

    scripts/run -k rcu_protocol --series rcu-protocol --config prove_refs

Elsewhere there is nobody to ask. That it would say so is tried first. The work is that of kg_protocol.c, and that
of the races of frozen_bit/ that programs run; who is known to break the protocol is in the manifest of the series.
"""

from typing import Any

import pytest

from kernelgate.selection import Target
from kernelgate.splat_formats import Kind
from kernelgate.suites import Case
from kernelgate.verdict import Complaint

pytestmark = pytest.mark.configurations("debug_vm", "prove_refs")


@pytest.fixture
def proving(gate: Any, target: Target) -> None:
    """Skips what would prove nothing."""
    if not gate.kernel(target.flavour).has("PROVE_PAGE_REF"):
        pytest.skip("nobody looks whether RCU is there: run with --series rcu-protocol --config prove_refs")


@pytest.mark.triggers("RCU-")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_reference_taken_outside_is_told_of(gate: Any, target: Target, case: Case, judged: Any) -> None:
    """The check is a macro, so that the call site is where the warning is: in the function of the trigger."""
    said = Complaint(Kind.WARNING, "", "kg_crash.c", f"kg_trigger_{case.name}")
    judged(gate.trigger(target, case, [said]))


@pytest.mark.program("kg_protocol")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_work(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_gup")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_gets_through_a_mapping(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_swap")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_swapping(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_migrate")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_moving_pages(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_ksm")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_merging_pages(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_hugetlb")
@pytest.mark.machines(x86_64=["hugepages"], arm64=["hugepages"])
def test_huge_pages(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_memory_failure")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_memory_failure(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_hotplug")
@pytest.mark.machines(arm64=["virtio-mem"])
def test_memory_that_goes(proving: None, program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)
