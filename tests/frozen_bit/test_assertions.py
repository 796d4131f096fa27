# SPDX-License-Identifier: GPL-2.0-only
"""D-01 to D-07: changing the count of a page that nobody owns is caught where it happens.

Each item runs the same call twice in one pristine guest: on an owned page, which must
be silent, then on a frozen one, which must die of the assertion named here or, where
the tree has no such assertion, survive.
"""

from typing import Any

import pytest

from kernelgate.suites import Case

ASSERTIONS = {
    "page_ref_add": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_sub": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_inc": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_dec": "VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "page_ref_inc_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret - 1))",
    "page_ref_dec_return": "VM_BUG_ON_PAGE(__page_count_is_frozen(ret + 1))",
    "folio_ref_sub_return": "VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr))",
}
"""The assertion that patch 1 of the frozen-bit series puts into each function (posted 2026-06-08, v4 1/2)."""


@pytest.fixture
def death_verdict(gate: Any, target: Any, case: Case) -> Any:
    """The verdict on one crash trigger and its control."""
    return gate.death(target, case, ASSERTIONS[case.name])


@pytest.mark.triggers("D-")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_change_of_a_frozen_count_is_caught(death_verdict: Any, judged: Any) -> None:
    judged(death_verdict)
