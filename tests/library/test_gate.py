# SPDX-License-Identifier: GPL-2.0-only
"""What of the pipeline needs no guest."""

from pathlib import Path
from typing import Any, cast

import pytest

from kernelgate.build import Kernel
from kernelgate.command import Result
from kernelgate.errors import BuildError, EmulatorFault, InfrastructureError, StarvedGuest
from kernelgate.gate import Gate, Options, configured_as, layout, steadied
from kernelgate.kernel_tests import SubTest
from kernelgate.progress import silent
from kernelgate.selection import Flavour, Target
from kernelgate.suites import Case
from kernelgate.topology import MachineSpec, Node, Sign
from kernelgate.variant import Variant

ROOT = Path(__file__).parents[2]


class Work:
    """Something that fails so many times."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.tries = list(errors), 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_fault_of_the_emulator_is_worth_one_more_try() -> None:
    assert steadied(Work(EmulatorFault("int3"))) == "done"


def test_a_starved_guest_is_worth_one_more_try() -> None:
    assert steadied(Work(StarvedGuest("soft lockup"))) == "done"


def test_the_same_fault_twice_is_no_pass() -> None:
    work = Work(EmulatorFault("int3"), EmulatorFault("int3"))
    with pytest.raises(EmulatorFault):
        steadied(work)
    assert work.tries == 2


def test_other_trouble_is_not_tried_again() -> None:
    work = Work(InfrastructureError("disk full"))
    with pytest.raises(InfrastructureError, match="disk full"):
        steadied(work)
    assert work.tries == 1


@pytest.mark.parametrize(
    ("config", "options", "name"),
    [
        ("lockdep", "CONFIG_DEBUG_VM=y\n", "lockdep"),
        ("as-found", "CONFIG_DEBUG_VM=y\n", "debug_vm"),
        ("as-found", "# CONFIG_DEBUG_VM is not set\n", "production"),
        ("debug_vm+./own.config", "CONFIG_DEBUG_VM=y\n", "debug_vm"),
    ],
)
def test_a_kernel_without_a_name_has_the_defects_of_its_kind(
    tmp_path: Path, config: str, options: str, name: str
) -> None:
    (tmp_path / "config").write_text(options)
    here, variant = tmp_path, Variant.FROZEN_BIT
    kernel = Kernel("arm64", config, here, here, here / "config", "7.2.0", "id", here, here, variant, "7.2", "key")
    assert configured_as(kernel) == name


@pytest.mark.parametrize(("config", "remedy"), [("up", "run with --config debug_vm"), ("debug_vm", "--base 7.2")])
def test_what_is_not_built_for_a_kernel_is_skipped_with_the_remedy(tmp_path: Path, config: str, remedy: str) -> None:
    gate = Gate(Options(tmp_path, tmp_path / "cache", tmp_path / "results"))
    target = Target("x86_64", "up", config)
    gate._modules[target.flavour] = {}
    judged = gate.kunit(target, "kg_numa", Case("NUMA-01", "any"), alone=True)
    assert judged.skipped
    assert judged.explain().endswith(remedy)


def test_case_of_a_kernel_that_does_not_build_says_so(tmp_path: Path) -> None:
    gate = Gate(Options(tmp_path, tmp_path / "cache", tmp_path / "results"))
    target = Target("x86_64", "smp2", "devices")
    gate._kernels[target.flavour] = BuildError("build 7.2: it does not compile\nmm/gup.c:1: error")
    with pytest.raises(BuildError, match=r"\Abuild 7.2: it does not compile\Z"):
        gate.kunit(target, "kg_numa", Case("NUMA-01", "any"), alone=True)


@pytest.mark.parametrize(
    ("name", "asked", "wanted"), [("cow", "production", "debug_vm"), ("rcutorture", "debug_vm", "devices")]
)
def test_what_the_kernels_own_tests_do_is_known_of_one_configuration(
    tmp_path: Path, name: str, asked: str, wanted: str
) -> None:
    gate = Gate(Options(ROOT, tmp_path / "cache", tmp_path / "results"))
    judged = gate.recorded(Target("x86_64", "smp2", asked), SubTest(name, "any"))
    assert judged.skipped
    assert judged.explain().endswith(f"run with --config {wanted}")


def test_kernel_that_does_not_build_has_no_tests_of_its_own(tmp_path: Path) -> None:
    gate, flavour = Gate(Options(ROOT, tmp_path / "cache", tmp_path / "results")), Flavour("x86_64", "debug_vm")
    gate._kernels[flavour] = BuildError("mm/gup.c does not compile")
    assert gate.prepare_kernel_tests(flavour, silent) == {}
    with pytest.raises(BuildError, match="gup"):
        gate.recorded(Target("x86_64", "smp2", "debug_vm"), SubTest("cow", "any"))


class Files:
    """A guest that has nothing but these files."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def run(self, argv: list[str]) -> Result:
        path = argv[1]
        return Result(tuple(argv), 0 if path in self.files else 1, self.files.get(path, ""), "")


NODE = "/sys/devices/system/node/node0"
FILES = {
    "/sys/devices/system/cpu/online": "0-1\n",
    f"{NODE}/cpulist": "0-1\n",
    f"{NODE}/meminfo": "Node 0 MemTotal:   504932 kB\n",
}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"/proc/meminfo": "MemFree: 1 kB\nCmaTotal:          65536 kB\nCmaFree: 0 kB\n"}, "65536 kB"),
        ({"/proc/meminfo": "CmaTotal:              0 kB\n"}, "0 kB"),
        ({"/proc/meminfo": "MemFree: 1 kB\n"}, "nothing"),
        ({}, "nothing"),
    ],
)
def test_a_device_is_believed_when_the_guest_shows_it(files: dict[str, str], found: str) -> None:
    sign = Sign("area", "/proc/meminfo", r"^CmaTotal:\s+(.*)$", "65536 kB")
    spec = MachineSpec("cma", (Node(2, 512),), signs=(sign,))
    seen = layout(cast(Any, Files({**FILES, **files})), spec)
    assert seen[-1] == ("area", "65536 kB", found)
    assert [asked for _, asked, got in seen[:-1] if asked != got] == []


def wrong(files: dict[str, str], spec: MachineSpec, numa: bool) -> dict[str, str]:
    """What a guest with FILES shows that SPEC has not asked for."""
    return {what: got for what, asked, got in layout(cast(Any, Files(files)), spec, numa) if asked != got}


UNI = {"/sys/devices/system/cpu/online": "0\n"}


def test_one_processor_without_nodes_is_the_layout_of_a_kernel_without_numa() -> None:
    assert wrong(UNI, MachineSpec("up", (Node(1, 512),)), numa=False) == {}
    assert wrong(UNI, MachineSpec("smp2", (Node(2, 512),)), numa=False) == {"CPUs online": "0"}


def test_a_node_that_the_kernel_does_not_show_is_missed() -> None:
    assert wrong(UNI, MachineSpec("up", (Node(1, 512),)), numa=True) == {
        "CPUs of node 0": "no such file",
        "memory of node 0": "none",
    }
    two = MachineSpec("numa2", (Node(1, 256), Node(0, 256)))
    assert wrong(UNI, two, numa=False) == {
        "CPUs of node 0": "no such file",
        "memory of node 0": "none",
        "CPUs of node 1": "no such file",
        "memory of node 1": "none",
    }


@pytest.mark.parametrize(("upto", "shown"), [(None, ["BIS-COMP"]), (4, ["BIS-COMP"]), (3, []), (0, [])])
def test_a_series_that_leaves_the_rules_as_they_are_has_its_defects(
    tmp_path: Path, upto: int | None, shown: list[str]
) -> None:
    gate = Gate(Options(ROOT, tmp_path, tmp_path, series="frozen-pages-v1", upto=upto))
    manifest, level = gate._expectations(Variant.UNPATCHED)
    assert manifest is not None
    known = [defect.defect for defect in manifest.known_defects if defect.holds(level, "6.1", "x86_64", "debug_vm")]
    assert known == shown
