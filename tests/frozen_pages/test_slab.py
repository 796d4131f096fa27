# SPDX-License-Identifier: GPL-2.0-only
"""SLAB-*: the pages of slabs and large kmallocs; on 6.1 of the other allocator by --config slab."""

from typing import Any

import pytest

from kernelgate.splat_formats import Kind
from kernelgate.suites import Case
from kernelgate.verdict import Complaint

MM_H = "include/linux/mm.h"

REFUSED = {
    "get_page_of_slab": "WARN_ON_ONCE(folio_test_slab(folio))",
    "get_page_of_large_kmalloc": "WARN_ON_ONCE(folio_test_large_kmalloc(folio))",
}
"""What get_page() says of memory that has no count (include/linux/mm.h, 7.2 and 7.3)."""


@pytest.mark.suite("kg_slab")
@pytest.mark.configurations("debug_vm", "production", "kasan")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_slab(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.triggers("SLAB-")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_reference_on_a_slab_is_refused(gate: Any, target: Any, case: Case, judged: Any) -> None:
    refusal = Complaint(Kind.WARNING, REFUSED[case.name], MM_H, f"kg_trigger_{case.name}", debug_vm=False)
    judged(gate.trigger(target, case, [refusal]))
