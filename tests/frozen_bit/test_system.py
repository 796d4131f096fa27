# SPDX-License-Identifier: GPL-2.0-only
"""HVO-*, MF-*, CMA-*, FRS-*: what the bit must survive in the rest of mm, driven from user space.

Each case is a run of a program in a pristine guest, and ends with the scan of INV-01.
"""

from typing import Any

import pytest

OUTCOMES = pytest.mark.configurations("debug_vm", "production")
"""With DEBUG_VM a wrong count ends the guest, without it the page is lost, or does harm later."""


@pytest.mark.program("kg_init_memory")
@pytest.mark.machines(x86_64=["smp2", "smp4-numa2"], arm64=["lse", "smp4-numa2"])
def test_memory_given_back_after_boot(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@pytest.mark.program("kg_memory_failure")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_pages_out_of_use(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@pytest.mark.program("kg_hvo")
@pytest.mark.machines(x86_64=["hugepages"])
def test_shared_tails(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@OUTCOMES
@pytest.mark.program("kg_hvo_gigantic")
@pytest.mark.machines(x86_64=["hugepages-1g"])
def test_shared_tails_of_a_gigantic_page(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_cma")
@pytest.mark.machines(x86_64=["cma"], arm64=["cma"])
def test_contiguous_area(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)
