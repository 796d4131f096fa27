# SPDX-License-Identifier: GPL-2.0-only
"""Every machine boots the kernel just built, has the layout it was asked for, and says nothing wrong."""

from typing import Any

import pytest

from kernelgate.topology import PLATFORMS, specs


@pytest.mark.configurations("debug_vm", "production", "kasan", "kcsan", "lockdep", "up")
@pytest.mark.machines(**{arch: list(specs(arch)) for arch in PLATFORMS})
def test_boot(boot_verdict: Any, judged: Any) -> None:
    judged(boot_verdict)
