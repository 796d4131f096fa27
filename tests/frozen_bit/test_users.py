# SPDX-License-Identifier: GPL-2.0-only
"""REF-13, -14, PIN-01, -02, GVE-01: who holds many references to one page at once."""

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


@MACHINES
@pytest.mark.configurations("debug_vm", "devices")
@pytest.mark.program("kg_pin_overflow")
def test_pins_by_user_space(program_verdict: Any, judged: Any) -> None:
    """Without io_uring (configuration `devices`) nothing pins as often, and each case says so."""
    judged(program_verdict)
