# SPDX-License-Identifier: GPL-2.0-only
"""Every machine boots the kernel just built, has the layout it was asked for, and says nothing wrong."""

from typing import Any

import pytest

from kernelgate.topology import PLATFORMS, specs


# But for those that need another image, which nobody should have to fetch for this: tests/under_stress/ boots it.
@pytest.mark.configurations("debug_vm", "production", "kasan", "kcsan", "lockdep", "devices", "up")
@pytest.mark.machines(**{arch: [name for name, spec in specs(arch).items() if not spec.image] for arch in PLATFORMS})
def test_boot(boot_verdict: Any, judged: Any) -> None:
    judged(boot_verdict)
