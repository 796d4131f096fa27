# SPDX-License-Identifier: GPL-2.0-only
"""Every machine boots the kernel just built, has the layout it was asked for, and says nothing wrong."""

from typing import Any

import pytest


@pytest.mark.machines(
    x86_64=["smp2", "smp4-numa2", "numa-memoryless"],
    arm64=["smp2", "smp4-numa2", "numa-memoryless", "lse", "llsc"],
)
def test_boot(boot_verdict: Any, judged: Any) -> None:
    judged(boot_verdict)
