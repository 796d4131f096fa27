# SPDX-License-Identifier: GPL-2.0-only
"""REF-13, -14, PIN-01, GVE-01: who holds many references to one page at once."""

from typing import Any

import pytest

MACHINES = pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])


@MACHINES
@pytest.mark.configurations("debug_vm", "production", "kasan")
@pytest.mark.suite("kg_page_frag")
def test_page_fragments(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@MACHINES
@pytest.mark.configurations("debug_vm", "production", "kasan")
@pytest.mark.suite("kg_pin")
def test_pins(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@MACHINES
@pytest.mark.configurations("debug_vm", "production", "kasan")
@pytest.mark.suite("kg_gve")
def test_driver_that_holds_almost_all_references(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
