# SPDX-License-Identifier: GPL-2.0-only
"""INV-01 and RULE-*: every page that nobody owns looks frozen and can be got by nobody, on every memory layout."""

from typing import Any

import pytest


@pytest.mark.suite("kg_invariant")
@pytest.mark.configurations("debug_vm", "production", "kasan", "lockdep", "up")
@pytest.mark.machines(
    x86_64=["smp2", "smp4-numa2", "numa-memoryless"],
    arm64=["smp4-numa2", "numa-memoryless", "lse", "llsc"],
)
def test_invariant(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_zone_device")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["nvdimm"], arm64=["nvdimm"])
def test_memory_of_a_device(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_rules")
@pytest.mark.configurations("debug_vm", "production", "kasan", "lockdep", "up")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse", "llsc"])
def test_rules(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
