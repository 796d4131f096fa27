# SPDX-License-Identifier: GPL-2.0-only
"""ZD-*: pages of devices, which are free at a count of zero where those of their kind came to be; per base.

What is expected of which base stands in kg_device_pages.c and kg_pmem.h. DAX-* and INV-01 of frozen_bit/ are about
the same pages: which of the claims those have is in the catalogue.
"""

from typing import Any

import pytest

pytestmark = pytest.mark.configurations("debug_vm", "devices")


@pytest.mark.suite("kg_device_pages")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_kinds_of_devices(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_p2pdma")
@pytest.mark.machines(x86_64=["p2pdma"], arm64=["p2pdma"])
def test_memory_that_devices_share(kunit_verdict: Any, judged: Any) -> None:
    """Without PCI_P2PDMA (configuration `devices`) no device offers memory, and the machine is skipped."""
    judged(kunit_verdict)


@pytest.mark.program("kg_fsdax")
@pytest.mark.machines(x86_64=["nvdimm"], arm64=["nvdimm"])
def test_file_systems(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_reflink")
@pytest.mark.machines(x86_64=["nvdimm"], arm64=["nvdimm"])
def test_files_that_share_blocks(program_verdict: Any, judged: Any) -> None:
    """Without XFS (configuration `devices`) no two files share a block, and each case says so."""
    judged(program_verdict)


@pytest.mark.program("kg_devdax")
@pytest.mark.machines(x86_64=["nvdimm"], arm64=["nvdimm"])
def test_device_dax(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_hmm")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_memory_of_a_device(program_verdict: Any, judged: Any) -> None:
    """Without TEST_HMM (configuration `devices`) there is nothing to ask, and each case says so."""
    judged(program_verdict)
