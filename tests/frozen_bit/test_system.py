# SPDX-License-Identifier: GPL-2.0-only
"""HVO-*, MF-*, CMA-*, FRS-*: what the bit must survive in the rest of mm, driven from user space.

Each case is a run of a program in a pristine guest, and ends with the scan of INV-01.
"""

from typing import Any

import pytest


@pytest.mark.program("kg_init_memory")
@pytest.mark.machines(x86_64=["smp2", "smp4-numa2"], arm64=["lse", "smp4-numa2"])
def test_memory_given_back_after_boot(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)
