# SPDX-License-Identifier: GPL-2.0-only
"""Machines as data, and the command line that each becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from bare_guest import BareKernel

from kernelgate.errors import UserError
from kernelgate.topology import PLATFORMS, SPECS, Boot, MachineSpec, find, memory_files, qemu_argv, specs

EVERYWHERE = [(arch, name) for arch in PLATFORMS for name in specs(arch)]


def boot_of(arch: str, name: str, accel: str = "tcg", append: str = "") -> Boot:
    kernel = BareKernel(Path("/build/image"))
    kernel.arch = arch
    return Boot(cast(Any, kernel), find(arch, name), Path("/initramfs"), accel, append)


def argv(arch: str, name: str, *, accel: str = "tcg", append: str = "", shared: bool = False) -> list[str]:
    return qemu_argv(boot_of(arch, name, accel, append), Path("/m"), shared)


def values(words: list[str], option: str) -> list[str]:
    """What follows each OPTION in WORDS."""
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def backend(node: int, mebibytes: int, share: str = "off") -> str:
    return f"memory-backend-file,id=node{node},size={mebibytes}M,share={share},mem-path=/m/memory{node}"


def test_the_machines_of_each_architecture() -> None:
    common = {"up", "smp2", "smp4-numa2", "numa-memoryless", "hugepages", "hugepages-1g", "cma", "nvdimm", "p2pdma"}
    common |= {"hugetlb-cma", "soak", "virtio-mem"}
    assert set(specs("x86_64")) == common | {"hotplug"}
    assert set(specs("arm64")) == common | {"lse", "llsc", "kexec"}


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown machine 'smp3': did you mean smp2"):
        find("x86_64", "smp3")
    with pytest.raises(UserError, match=r"unknown architecture 'arm': did you mean arm64"):
        find("arm", "smp2")


def test_machine_of_another_architecture_names_it() -> None:
    with pytest.raises(UserError, match="machine 'lse' exists on arm64 only: add --arch arm64"):
        find("x86_64", "lse")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_machine_can_be(spec: MachineSpec) -> None:
    limit = 2752 if spec.name in ("hugepages-1g", "hugetlb-cma") else 1024  # MiB
    assert 0 < spec.memory <= limit, "a guest has at most 1 GiB, but for one page of 1 GiB and what is around it"
    assert 0 < spec.cpus <= 16, "NR_CPUS of kconfigs/"
    assert all(node.cpus or node.memory for node in spec.nodes)
    assert len({node.cpus for node in spec.nodes if node.cpus}) == 1, "QEMU's sockets are all of one size"


def test_node_without_memory_and_node_without_cpus() -> None:
    words = argv("x86_64", "numa-memoryless")
    assert values(words, "-smp") == ["4,sockets=2"]
    assert values(words, "-m") == ["512M"]
    assert values(words, "-object") == [backend(0, 256), backend(2, 256)]
    assert values(words, "-numa") == [
        "node,nodeid=0,cpus=0-1,memdev=node0",
        "node,nodeid=1,cpus=2-3",
        "node,nodeid=2,memdev=node2",
    ]
    assert memory_files(boot_of("x86_64", "numa-memoryless")) == ["memory0", "memory2"]


def test_two_nodes_alike() -> None:
    words = argv("arm64", "smp4-numa2", shared=True)
    assert values(words, "-object") == [backend(0, 256, "on"), backend(1, 256, "on")]
    assert values(words, "-numa") == ["node,nodeid=0,cpus=0-1,memdev=node0", "node,nodeid=1,cpus=2-3,memdev=node1"]


@pytest.mark.parametrize(
    ("arch", "name", "accel", "cpu"),
    [
        ("arm64", "lse", "tcg", "max,pauth-impdef=on"),
        ("arm64", "llsc", "tcg", "cortex-a72"),
        ("arm64", "smp2", "tcg", "cortex-a72"),
        ("x86_64", "smp2", "tcg", "max"),
        ("x86_64", "smp2", "kvm", "host"),
    ],
)
def test_cpu_model(arch: str, name: str, accel: str, cpu: str) -> None:
    assert values(argv(arch, name, accel=accel), "-cpu") == [cpu]


@pytest.mark.parametrize(("arch", "name"), EVERYWHERE)
def test_guest_reaches_nothing_and_is_reached_from_this_host_alone(arch: str, name: str) -> None:
    words = argv(arch, name)
    (network,) = values(words, "-netdev")
    assert "restrict=on" in network.split(",")
    assert [word for word in network.split(",") if "fwd" in word] == ["hostfwd=tcp:127.0.0.1:0-:22"]
    assert "-nodefaults" in words, "or QEMU adds a network of its own"


@pytest.mark.parametrize(("arch", "name"), EVERYWHERE)
def test_panic_ends_qemu(arch: str, name: str) -> None:
    words = argv(arch, name, shared=True)
    assert "-no-reboot" in words
    assert "panic=-1" in values(words, "-append")[0].split()


def test_early_console_and_console_are_the_same_port() -> None:
    parameters = boot_of("x86_64", "smp2").parameters.split()
    assert {"console=ttyS0", "earlycon=uart8250,io,0x3f8"} <= set(parameters)
    parameters = boot_of("arm64", "smp2").parameters.split()
    assert {"console=ttyAMA0", "earlycon=pl011,0x9000000"} <= set(parameters)


def test_clocks_are_not_measured_by_an_emulated_timer() -> None:
    """The kernel prefers the PIT to the HPET where both are there and disagree (arch/x86/kernel/tsc.c, 7.2)."""
    assert "pit=off" in values(argv("x86_64", "smp2"), "-machine")[0].split(",")
    assert "no_timer_check" in boot_of("x86_64", "smp2").parameters.split()


def test_what_the_user_appends_comes_last() -> None:
    assert boot_of("x86_64", "smp2", append="panic=5  quiet ").parameters.endswith(" panic=5 quiet")


def test_persistent_memory_is_left_alone_by_the_kernel() -> None:
    """512 MiB, of which the last 128 are persistent: 128 MiB from 384 MiB on (0x18000000)."""
    assert "memmap=128M!0x18000000" in boot_of("x86_64", "nvdimm").parameters.split()
    assert values(argv("x86_64", "nvdimm"), "-m") == ["512M"]
    assert "memmap" not in boot_of("x86_64", "smp2").parameters


@pytest.mark.parametrize(("arch", "name"), EVERYWHERE)
def test_restored_guest_has_its_kernel_in_memory(arch: str, name: str) -> None:
    start = {"-kernel", "-initrd", "-append", "-dtb"}
    booting, restored = argv(arch, name, shared=True), argv(arch, name)
    assert {"-kernel", "-initrd", "-append"} <= set(booting)
    assert not start & set(restored)
    assert values(booting, "-device") == values(restored, "-device")


def test_nobody_is_told_of_a_guest_that_was_restored() -> None:
    card = next(word for word in values(argv("arm64", "smp2"), "-device") if word.startswith("virtio-net"))
    assert "guest_announce=off" in card.split(",")


def test_kernel_that_is_handed_memory_is_alone_on_its_machine() -> None:
    """arm64 without CPU hotplug refuses kexec where it has more than one CPU (arch/arm64/kernel/smp.c, 7.2)."""
    spec = find("arm64", "kexec")
    assert (spec.kexec, spec.cpus, spec.needs) == (True, 1, ("KEXEC_HANDOVER",))
    assert "kho=on" in boot_of("arm64", "kexec").parameters.split()


def test_room_for_memory_to_come() -> None:
    assert values(argv("x86_64", "hotplug"), "-m") == ["512M,slots=2,maxmem=768M"]
    assert values(argv("arm64", "virtio-mem"), "-m") == ["512M,slots=2,maxmem=768M"]
    assert "memory-backend-ram,id=plugged,size=256M" in values(argv("arm64", "virtio-mem"), "-object")
    assert memory_files(boot_of("arm64", "virtio-mem")) == ["memory0"]


def test_comma_in_a_folder_is_doubled() -> None:
    words = qemu_argv(boot_of("x86_64", "smp2"), Path("/a,b"), shared=False)
    assert values(words, "-object")[0].endswith(",mem-path=/a,,b/memory0")
