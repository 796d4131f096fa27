# SPDX-License-Identifier: GPL-2.0-only
"""FP-01 to FP-05 and NUMA-*: which allocations hand out frozen pages, and from which node."""

from typing import Any

import pytest

CONFIGURATIONS = pytest.mark.configurations(
    "debug_vm", "production", "kasan", excluded={"up": "its machine has one node, and its kernel knows none"}
)
MACHINES = pytest.mark.machines(x86_64=["smp4-numa2", "numa-memoryless"], arm64=["smp4-numa2", "numa-memoryless"])


@MACHINES
@CONFIGURATIONS
@pytest.mark.suite("kg_frozen_alloc")
def test_frozen_alloc(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@MACHINES
@CONFIGURATIONS
@pytest.mark.suite("kg_numa")
def test_numa(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
