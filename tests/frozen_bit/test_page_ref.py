# SPDX-License-Identifier: GPL-2.0-only
"""REF-01 to REF-10: what include/linux/page_ref.h promises, on every kind of atomic instruction."""

from typing import Any

import pytest

CONFIGURATIONS = pytest.mark.configurations("debug_vm", "production", "up")
MACHINES = pytest.mark.machines(x86_64=["smp2"], arm64=["lse", "llsc"])


@MACHINES
@CONFIGURATIONS
@pytest.mark.suite("kg_page_ref")
def test_page_ref(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@MACHINES
@CONFIGURATIONS
@pytest.mark.suite("kg_page_ref_hook")
def test_between_the_two_atomics_of_the_last_put(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
