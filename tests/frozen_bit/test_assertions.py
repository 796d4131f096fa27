# SPDX-License-Identifier: GPL-2.0-only
"""D-01 to D-07: changing the count of a page that nobody owns is caught where it happens; FP-05: a wrong free is.

Each item runs the same call twice in one pristine guest: on an owned page, which must
be silent, then on a frozen one, which must bring about the complaints named here, those
and no others, or, where the kernel has no such check, survive.
"""

from typing import Any

import pytest

from kernelgate.splat_formats import Kind
from kernelgate.suites import Case
from kernelgate.variant import Variant
from kernelgate.verdict import Complaint

PAGE_REF_H = "include/linux/page_ref.h"
PAGE_ALLOC_C = "mm/page_alloc.c"


def asserted(function: str, condition: str) -> list[Complaint]:
    """An assertion of the series, in a function of page_ref.h that is inlined into the trigger."""
    return [Complaint(Kind.KERNEL_BUG, condition, PAGE_REF_H, f"kg_trigger_{function}", since=Variant.ASSERTS)]


ASSERTIONS = {
    function: asserted(function, condition)
    for function, condition in {
        "page_ref_add": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
        "page_ref_sub": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
        "page_ref_inc": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
        "page_ref_dec": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
        "page_ref_inc_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret - 1))",
        "page_ref_dec_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret + 1))",
        "folio_ref_sub_return": "VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr))",
    }.items()
}
"""The assertion that patch 1 of the frozen-bit series puts into each function (posted 2026-06-08, v4 1/2)."""

FREES = {
    "free_contig_of_a_tail": [
        Complaint(
            Kind.WARNING,
            "WARN_ON_ONCE(first_page != compound_head(first_page))",
            PAGE_ALLOC_C,
            "free_contig_frozen_range",
            debug_vm=False,
        )
    ],
    "free_contig_of_wrong_order": [
        Complaint(
            Kind.WARNING,
            "WARN_ON_ONCE(order != compound_order(first_page))",
            PAGE_ALLOC_C,
            "free_contig_frozen_range",
            debug_vm=False,
        ),
        Complaint(
            Kind.KERNEL_BUG,
            "VM_BUG_ON_PAGE(compound && compound_order(page) != order)",
            PAGE_ALLOC_C,
            "kg_trigger_free_contig_of_wrong_order",  # a tail call may leave nobody else in the trace
        ),
    ],
}
"""What mm/page_alloc.c says of a free that does not match (7.2 and 7.3): a tail is left alone, a wrong order is freed
as it is asked for, which only DEBUG_VM stops."""


@pytest.fixture
def trigger_verdict(gate: Any, target: Any, case: Case) -> Any:
    """The verdict on one crash trigger and its control."""
    return gate.trigger(target, case, {**ASSERTIONS, **FREES}[case.name])


@pytest.mark.triggers("D-")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_change_of_a_frozen_count_is_caught(trigger_verdict: Any, judged: Any) -> None:
    judged(trigger_verdict)


@pytest.mark.triggers("FP-")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_wrong_free_of_a_frozen_range_is_caught(trigger_verdict: Any, judged: Any) -> None:
    judged(trigger_verdict)
