# SPDX-License-Identifier: GPL-2.0-only
"""RCU-02 to -05: what may be relied on of pages that readers of RCU have found."""

from typing import Any

import pytest

pytestmark = [
    pytest.mark.configurations("debug_vm", "prove_refs"),
    pytest.mark.machines(x86_64=["smp2"], arm64=["lse", "llsc"]),
]


@pytest.mark.suite("kg_rcu_cookie")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_cookies(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_rcu_page")
def test_pages_that_become_other_ones(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
