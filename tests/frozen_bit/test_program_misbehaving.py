# SPDX-License-Identifier: GPL-2.0-only
"""GATE-20 to -23: a program that misbehaves after a good report is red, on a real kernel."""

from typing import Any

import pytest

from kernelgate.suites import Case

REASONS = {
    "program_that_never_ends": "did not end within",
    "program_that_a_bus_error_ends": "ended by signal 7",
    "program_that_kills_the_kernel": "sysrq triggered crash",
    "program_that_reports_another_claim": "no report on program_that_reports_another_claim alone",
}


@pytest.mark.program("kg_gate")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_program_that_misbehaves(gate: Any, target: Any, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelgate.gate.PROGRAM_SECONDS", 0.5)
    verdict = gate.program(target, "kg_gate", case)
    assert not verdict.passed
    assert not verdict.skipped
    assert REASONS[case.name] in verdict.explain()
