# SPDX-License-Identifier: GPL-2.0-only
"""D-*: a change of the count that is illegal is caught where it happens; G-*: also those that version 4 misses.

Each item makes the same call in pristine guests: where it is legal, which must be silent,
then where it is not, mostly on a frozen page, once as it is and once with what failed gets
leave in its count. That must bring about the complaints named here, those and no others,
or, where the kernel has no such check, survive. FP-05: a wrong free of a frozen range.
"""

from typing import Any

import pytest

from kernelgate.splat_formats import Kind
from kernelgate.suites import Case
from kernelgate.variant import Assertions, Variant
from kernelgate.verdict import Complaint

MM_H = "include/linux/mm.h"
PAGE_REF_H = "include/linux/page_ref.h"
INTERNAL_H = "mm/internal.h"
PAGE_ALLOC_C = "mm/page_alloc.c"

ADD, SUB = "__page_count_may_add", "__page_count_may_sub"

POSTED = {
    "page_ref_add": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_sub": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_inc": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_dec": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_inc_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret - 1))",
    "page_ref_dec_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret + 1))",
    "folio_ref_sub_return": "VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr))",
}
"""The assertion that patch 1 of the frozen-bit series puts into each function (posted 2026-06-08, v4 1/2)."""

WARNINGS = {
    "page_ref_add": f"VM_WARN_ON_ONCE_PAGE(!{ADD}(atomic_read(&page->_refcount), nr))",
    "page_ref_sub": f"VM_WARN_ON_ONCE_PAGE(!{SUB}(atomic_read(&page->_refcount), nr))",
    "page_ref_inc": f"VM_WARN_ON_ONCE_PAGE(!{ADD}(atomic_read(&page->_refcount), 1))",
    "page_ref_dec": f"VM_WARN_ON_ONCE_PAGE(!{SUB}(atomic_read(&page->_refcount), 1))",
    "page_ref_inc_return": f"VM_WARN_ON_ONCE_PAGE(!{ADD}(ret - 1, 1))",
    "page_ref_dec_return": f"VM_WARN_ON_ONCE_PAGE(!{SUB}(ret + 1, 1))",
    "folio_ref_sub_return": f"VM_WARN_ON_ONCE_FOLIO(!{SUB}(ret + nr, nr))",
    "page_ref_sub_and_test": "VM_WARN_ON_ONCE_PAGE(count < nr)",
    "page_ref_unfreeze of less": "VM_WARN_ON_ONCE_PAGE(count < 0)",
    "page_ref_unfreeze of 0": "VM_WARN_ON_ONCE_PAGE(!__page_is_frozen(page))",
}
"""The same in the last patch of frozen-bit-v4-fixed, which warns, and says the whole rule: G-* too."""


def changes(trigger: str, function: str) -> list[Complaint]:
    """What TRIGGER, inlining FUNCTION, is told for changing the count of a frozen page."""
    frame = f"kg_trigger_{trigger}"
    return [
        Complaint(Kind.KERNEL_BUG, POSTED[function], PAGE_REF_H, frame, Variant.ASSERTS, Assertions.BUG),
        Complaint(Kind.WARNING, WARNINGS[function], PAGE_REF_H, frame, Variant.ASSERTS, Assertions.WARN),
    ]


def gap(trigger: str, function: str, since: Variant) -> list[Complaint]:
    """What TRIGGER has to be told by the rule of the series; version 4, with its VM_BUG_ON_PAGE(), does not say it."""
    frame, warning = f"kg_trigger_{trigger}", WARNINGS[function]
    posted = warning.replace("VM_WARN_ON_ONCE", "VM_BUG_ON")
    return [
        Complaint(Kind.KERNEL_BUG, posted, PAGE_REF_H, frame, since, Assertions.BUG),
        Complaint(Kind.WARNING, warning, PAGE_REF_H, frame, since, Assertions.WARN),
    ]


def dies(trigger: str, condition: str, file: str) -> list[Complaint]:
    """An assertion that the kernel has without the series, too."""
    return [Complaint(Kind.KERNEL_BUG, condition, file, f"kg_trigger_{trigger}")]


CHANGES = {
    **{function: changes(function, function) for function in POSTED},
    "folio_ref_add": changes("folio_ref_add", "page_ref_add"),
    "folio_ref_sub": changes("folio_ref_sub", "page_ref_sub"),
    "folio_ref_inc": changes("folio_ref_inc", "page_ref_inc"),
    "folio_ref_dec": changes("folio_ref_dec", "page_ref_dec"),
    "folio_ref_inc_return": changes("folio_ref_inc_return", "page_ref_inc_return"),
    "folio_ref_dec_return": changes("folio_ref_dec_return", "page_ref_dec_return"),
    "put_page_testzero": dies("put_page_testzero", "VM_BUG_ON_PAGE(page_ref_count(page) == 0)", MM_H),
    "folio_get": dies("folio_get", "VM_BUG_ON_FOLIO(((unsigned int) folio_ref_count(folio) + 127u <= 127u))", MM_H),
    "set_page_refcounted": dies("set_page_refcounted", "VM_BUG_ON_PAGE(page_ref_count(page))", INTERNAL_H),
    "set_page_refcounted_of_tail": dies("set_page_refcounted_of_tail", "VM_BUG_ON_PAGE(PageTail(page))", INTERNAL_H),
    "page_ref_unfreeze": dies("page_ref_unfreeze", "VM_BUG_ON_PAGE(page_count(page) != 0)", PAGE_REF_H),
    "page_ref_unfreeze_to_zero": dies("page_ref_unfreeze_to_zero", "VM_BUG_ON(count == 0)", PAGE_REF_H),
    "split_page": [Complaint(Kind.WARNING, "VM_WARN_ON_PAGE(!page_count(page))", PAGE_ALLOC_C, "split_page")],
    "try_get_page": [
        Complaint(
            Kind.WARNING,
            "WARN_ON_ONCE(page_ref_count(page) <= 0)",
            MM_H,
            "kg_trigger_try_get_page",
            debug_vm=False,
        )
    ],
}
"""By trigger: the series' own assertions (D-01 to D-13), and what mm.h, internal.h and page_alloc.c had before it."""

GAPS = {
    "page_ref_dec_to_zero": gap("page_ref_dec_to_zero", "page_ref_dec", Variant.ASSERTS),
    "page_ref_sub_to_zero": gap("page_ref_sub_to_zero", "page_ref_sub", Variant.ASSERTS),
    "page_ref_dec_return_to_zero": gap("page_ref_dec_return_to_zero", "page_ref_dec_return", Variant.ASSERTS),
    "folio_ref_sub_return_to_zero": gap("folio_ref_sub_return_to_zero", "folio_ref_sub_return", Variant.ASSERTS),
    "page_ref_sub_and_test": gap("page_ref_sub_and_test", "page_ref_sub_and_test", Variant.ASSERTS),
    "folio_put_refs": gap("folio_put_refs", "page_ref_sub_and_test", Variant.ASSERTS),
    "page_ref_dec_and_test": gap("page_ref_dec_and_test", "page_ref_sub_and_test", Variant.ASSERTS),
    "page_ref_unfreeze_to_negative": gap(
        "page_ref_unfreeze_to_negative", "page_ref_unfreeze of less", Variant.FROZEN_BIT
    ),
    "page_ref_unfreeze_of_zero": gap("page_ref_unfreeze_of_zero", "page_ref_unfreeze of 0", Variant.FROZEN_BIT),
    "page_ref_inc_at_int_max": gap("page_ref_inc_at_int_max", "page_ref_inc", Variant.FROZEN_BIT),
}
"""What the authors' rules forbid and version 4 lets pass (KERNEL-NOTES C.1, D9): only pages with owners may be
changed, zero is but a moment inside dec_and_test, and no count becomes a frozen one by counting."""

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


NOT_ON_FROZEN = {
    *("set_page_refcounted", "page_ref_unfreeze"),
    *("page_ref_dec_to_zero", "page_ref_sub_to_zero", "page_ref_dec_return_to_zero", "folio_ref_sub_return_to_zero"),
    *("page_ref_unfreeze_of_zero", "page_ref_inc_at_int_max"),
    *FREES,
}
"""The triggers that act on a page with owners, or on none of their own: failed gets leave nothing there."""


def modes(case: Case) -> tuple[str, ...]:
    """How a trigger is pulled, its control apart."""
    return ("trigger",) if case.name in NOT_ON_FROZEN else ("trigger", "residue")


@pytest.fixture
def trigger_verdict(gate: Any, target: Any, case: Case) -> Any:
    """The verdict on one crash trigger and its control, on a page as it is and with what failed gets have left."""
    return gate.trigger(target, case, {**CHANGES, **FREES}[case.name], modes(case))


@pytest.mark.triggers("D-")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_illegal_change_of_a_count_is_caught(trigger_verdict: Any, judged: Any) -> None:
    judged(trigger_verdict)


@pytest.mark.triggers("G-")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_change_that_the_rules_forbid_is_caught(gate: Any, target: Any, case: Case, judged: Any) -> None:
    if not gate.kernel(target.flavour).has("DEBUG_VM"):
        pytest.skip("nothing is asserted without DEBUG_VM: run with --config debug_vm")
    judged(gate.trigger(target, case, GAPS[case.name], modes(case)))


@pytest.mark.triggers("FP-")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_wrong_free_of_a_frozen_range_is_caught(trigger_verdict: Any, judged: Any) -> None:
    judged(trigger_verdict)
