# SPDX-License-Identifier: GPL-2.0-only
"""FP-03, FP-07, FP-08, NUMA-07: the ways through the page allocator that are not the first attempt."""

from typing import Any

import pytest


@pytest.mark.suite("kg_alloc_paths")
@pytest.mark.configurations(
    "debug_vm", "production", "kasan", excluded={"up": "its machine has one node, and its kernel knows none"}
)
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_later_attempts(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
