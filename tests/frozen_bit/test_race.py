# SPDX-License-Identifier: GPL-2.0-only
"""RACE-01 to RACE-03: getters, freezers and freers on different CPUs, each balanced to the last reference."""

from typing import Any

import pytest


@pytest.mark.suite("kg_race")
@pytest.mark.configurations(
    "debug_vm", "production", "kasan", "kcsan", "lockdep", excluded={"up": "one processor has nobody to race with"}
)
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["lse", "llsc"])
def test_race(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
