# SPDX-License-Identifier: GPL-2.0-only
"""OFFL-01: what is found unmovable before memory goes offline, and what only by trying."""

from typing import Any

import pytest


@pytest.mark.suite("kg_isolation")
@pytest.mark.configurations("debug_vm", "production")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_isolation(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
