# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own tests: the modules and programs of the tree that is judged, on the kernel that it makes.

in_tree.toml names them. An item is one sub-test as scripts/baseline has found it on the base without a series
(baseline/), and passes where it does the same: only a change is a verdict about the series.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from kernelgate import kernel_tests
from kernelgate.kernel_tests import SubTest
from kernelgate.selection import Target

pytestmark = pytest.mark.in_tree

ROOT = Path(__file__).parents[2]
TESTS = kernel_tests.read(ROOT / kernel_tests.FILE)


def _of(machine: str, config: str = "debug_vm") -> list[Any]:
    found = kernel_tests.sub_tests(ROOT / kernel_tests.BASELINES, kernel_tests.asking_for(TESTS, machine, config))
    return [pytest.param(sub, id=re.sub(r"[^\w.()+=-]+", "_", f"{sub.test}-{sub.line}")) for sub in found]


@pytest.mark.machines(**kernel_tests.MACHINES["plain"])
@pytest.mark.configurations("debug_vm")
@pytest.mark.case("IT-01")
@pytest.mark.parametrize("case", _of("plain"))
def test_does_what_it_does_without_a_series(gate: Any, target: Target, case: SubTest, judged: Any) -> None:
    judged(gate.recorded(target, case))


@pytest.mark.machines(**kernel_tests.MACHINES["hugepages"])
@pytest.mark.configurations("debug_vm")
@pytest.mark.case("IT-01")
@pytest.mark.parametrize("case", _of("hugepages"))
def test_does_so_with_huge_pages(gate: Any, target: Target, case: SubTest, judged: Any) -> None:
    judged(gate.recorded(target, case))


@pytest.mark.machines(**kernel_tests.MACHINES["plain"])
@pytest.mark.configurations("devices")
@pytest.mark.case("IT-01")
@pytest.mark.parametrize("case", _of("plain", "devices"))
def test_does_so_with_all_options(gate: Any, target: Target, case: SubTest, judged: Any) -> None:
    judged(gate.recorded(target, case))


@pytest.mark.machines(**kernel_tests.MACHINES["hugepages"])
@pytest.mark.configurations("devices")
@pytest.mark.case("IT-01")
@pytest.mark.parametrize("case", _of("hugepages", "devices"))
def test_does_so_with_all_options_and_huge_pages(gate: Any, target: Target, case: SubTest, judged: Any) -> None:
    judged(gate.recorded(target, case))
