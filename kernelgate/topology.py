# SPDX-License-Identifier: GPL-2.0-only
"""Machines as data: QEMU topologies, and the command line that makes one of them with a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kernelgate import command
from kernelgate.errors import UserError, unknown

if TYPE_CHECKING:
    from kernelgate.build import Kernel

PARAMETERS = (
    "panic=-1",  # a panic reboots at once, which -no-reboot makes the end of QEMU
    "nokaslr",  # addresses in a splat are those of vmlinux
    "log_buf_len=1M",  # /dev/kmsg is read after the test: nothing of it may be overwritten
    "kfence.sample_interval=0",  # pages of its pool look like slabs, and have a reference; who wants it says so
    "printk.devkmsg=on",  # what user space writes to the log is not rationed
    # A CPU that is stuck is told of after 8 s instead of 20. Emulated on a host with five
    # times more to do than it has CPUs, no CPU of a sound guest stands still that long.
    "watchdog_thresh=4",  # seconds; a soft lockup is twice that
    "rcupdate.rcu_cpu_stall_timeout=8",
    "sysctl.kernel.hung_task_timeout_secs=20",
    "sysctl.kernel.hung_task_check_interval_secs=2",  # told of at once, not at up to twice that
)


DEVICE_TREE = "devicetree"
"""The file, beside the memory files, with the device tree of a machine that needs one of its own (devicetree.py)."""

SLOTS = 2
"""How many memory modules can be plugged into a machine that has room for any."""


@dataclass(frozen=True)
class Platform:
    """What all machines of one architecture share.

    ram is where its memory begins (hw/i386/pc.c, hw/arm/virt.c); persistent is how the
    kernel is told to leave SIZE MiB at START alone, which end its memory, for use as
    persistent memory; described says that it then finds them in the device tree only.
    """

    qemu: str
    package: str
    machine: str
    cpu: str
    console: str
    parameters: tuple[str, ...]
    ram: int
    persistent: str
    described: bool = False
    options: tuple[str, ...] = ()


PLATFORMS: Mapping[str, Platform] = MappingProxyType(
    {
        "x86_64": Platform(
            qemu="qemu-system-x86_64",
            package="qemu-system-x86",
            # No PIT: on a busy host the kernel measured its TSC by it to be a twentieth of what it was, and believed
            # that rather than the HPET. All its clocks then ran fast, and sound guests were said to have locked up.
            machine="q35,pit=off",
            cpu="max",
            console="ttyS0",
            parameters=(
                "earlycon=uart8250,io,0x3f8",
                "no_timer_check",  # an emulated timer can miss the hundredth of a second in which it is tried
                "tsc=reliable",  # one TSC for all CPUs, emulated or not: no watchdog has to find out
                "lpj=5000000",  # not measured anew for each CPU; delays go by the TSC
            ),
            ram=0,
            persistent="memmap={size}M!{start:#x}",  # Documentation/admin-guide/kernel-parameters.txt
            # It starts a PVH kernel as SeaBIOS does, a tenth of a second earlier.
            options=("-bios", "qboot.rom"),
        ),
        "arm64": Platform(
            qemu="qemu-system-aarch64",
            package="qemu-system-arm",
            machine="virt,gic-version=max",
            cpu="cortex-a72",
            console="ttyAMA0",
            parameters=("earlycon=pl011,0x9000000",),
            ram=1 << 30,
            persistent="mem={rest}M",
            described=True,
        ),
    }
)


@dataclass(frozen=True)
class Node:
    """One NUMA node: how many CPUs it has and how much memory, in MiB; either may be none."""

    cpus: int
    memory: int


@dataclass(frozen=True)
class Sign:
    """How a guest shows that its kernel has found something.

    In the guest's file path, the first match of pattern (its last group, if it has one) is value.
    """

    what: str
    path: str
    pattern: str
    value: str


@dataclass(frozen=True)
class MachineSpec:
    """A QEMU topology.

    cpu is the model where the machine is about one (it can then only be emulated);
    without, it is the architecture's. extra are more QEMU options, parameters more
    words of the kernel's command line; signs are what both must lead to in the guest.
    persistent is how many MiB at the end of the memory are persistent memory to the kernel;
    room is how much memory may be added to the machine while it runs, in MiB. kexec: the
    guest is the second kernel, to which the one that QEMU booted has handed memory over.
    needs are the options without which a kernel can make nothing of the machine; image
    is the recipe that adds to what every guest has (image.py).
    """

    name: str
    nodes: tuple[Node, ...]
    arches: tuple[str, ...] = tuple(PLATFORMS)
    cpu: str | None = None
    extra: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    signs: tuple[Sign, ...] = ()
    persistent: int = 0
    room: int = 0
    kexec: bool = False
    needs: tuple[str, ...] = ()
    image: str = ""

    @property
    def cpus(self) -> int:
        """The number of CPUs of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def sockets(self) -> int:
        """One for each node with CPUs: a socket across two nodes is a WARNING in x86's topology_sane() (7.2)."""
        return sum(node.cpus > 0 for node in self.nodes)

    @property
    def memory(self) -> int:
        """The memory of all nodes, in MiB."""
        return sum(node.memory for node in self.nodes)


def _pool(kilobytes: int, pages: int) -> Sign:
    """The huge pages of one size that the kernel has."""
    path = f"/sys/kernel/mm/hugepages/hugepages-{kilobytes}kB/nr_hugepages"
    return Sign(f"pool of {kilobytes} kB pages", path, r"\d+", str(pages))


HVO = "hugetlb_free_vmemmap=on"
"""Tails of huge pages share struct pages (x86_64 only: ARCH_WANT_OPTIMIZE_HUGETLB_VMEMMAP, 7.3)."""
HVO_SIGN = Sign("sharing of struct pages by huge pages", "/proc/sys/vm/hugetlb_optimize_vmemmap", r"\d+", "1")

GIGANTIC = ("hugepagesz=1G", "hugepages=1")
"""One page of 1 GiB, taken from memory before there is a page allocator."""

CMA_SIGN = Sign("contiguous memory area", "/proc/meminfo", r"^CmaTotal:\s+(.*)$", "65536 kB")

MODULE_SIGN = Sign("place for a memory module", "/sys/bus/acpi/devices/PNP0C80:00/hid", "PNP0C80", "PNP0C80")

KEXEC_SIGN = Sign("what was handed over", "/sys/kernel/debug/kho/in/sub_fdts/kernelgate", "ohgk", "ohgk")

PMEM_SIGN = Sign("sectors of persistent memory", "/sys/block/pmem0/size", r"\d+", "262144")  # of 512 bytes: 128 MiB

VIRTIO_MEM = (
    "-object",
    "memory-backend-ram,id=plugged,size=256M",
    "-device",
    "virtio-mem-pci,id=plug,memdev=plugged,node=0,requested-size=192M",
)
"""A device of which three quarters are plugged: one and a half of the kernel's memory blocks, of 128 MiB."""

P2PDMA = ("-object", "memory-backend-ram,id=offered,size=4M", "-device", "ivshmem-plain,memdev=offered,master=on")
"""A device that is memory alone, which a driver can offer to others; master: QEMU saves it with the guest."""

VIRTIO_MEM_PATH = "/machine/peripheral/plug"
"""Where QEMU's monitor finds that device."""

SPECS = (
    MachineSpec("up", (Node(1, 512),)),
    MachineSpec("smp2", (Node(2, 512),)),
    MachineSpec("smp4-numa2", (Node(2, 256), Node(2, 256))),
    MachineSpec("numa-memoryless", (Node(2, 256), Node(2, 0), Node(0, 256))),
    MachineSpec("lse", (Node(2, 512),), arches=("arm64",), cpu="max,pauth-impdef=on"),
    MachineSpec("llsc", (Node(2, 512),), arches=("arm64",), cpu="cortex-a72"),
    # The pool is empty until a test fills it: what sharing does to struct pages is for the test to see.
    MachineSpec("hugepages", (Node(2, 512),), ("x86_64",), parameters=(HVO,), signs=(HVO_SIGN, _pool(2048, 0))),
    MachineSpec("hugepages", (Node(2, 512),), ("arm64",), signs=(_pool(2048, 0),)),
    # No smaller memory has a whole GiB at a multiple of 1 GiB beside the shadow that KASAN takes, an eighth of all;
    # of more, x86's PCs have some above 4 GiB. What the guest does not touch takes no room here.
    MachineSpec(
        "hugepages-1g", (Node(2, 2752),), ("x86_64",), parameters=(HVO, *GIGANTIC), signs=(HVO_SIGN, _pool(1048576, 1))
    ),
    MachineSpec("hugepages-1g", (Node(2, 2752),), ("arm64",), parameters=GIGANTIC, signs=(_pool(1048576, 1),)),
    MachineSpec(
        "hugetlb-cma",
        (Node(2, 2752),),
        parameters=("hugetlb_cma=1G",),
        signs=(Sign("area for a gigantic page", "/proc/meminfo", r"^CmaTotal:\s+(.*)$", "1048576 kB"),),
        needs=("CMA", "HUGETLBFS"),
    ),
    MachineSpec("cma", (Node(2, 512),), parameters=("cma=64M",), signs=(CMA_SIGN,), needs=("DMA_CMA",)),
    MachineSpec("nvdimm", (Node(2, 512),), signs=(PMEM_SIGN,), persistent=128, needs=("BLK_DEV_PMEM", "FS_DAX")),
    MachineSpec(
        "p2pdma",
        (Node(2, 512),),
        extra=P2PDMA,
        signs=(Sign("device of memory", "/proc/bus/pci/devices", r"^\S+\s(1af41110)\s", "1af41110"),),
        needs=("PCI_P2PDMA",),
    ),
    MachineSpec(
        "soak",
        (Node(2, 512), Node(2, 512)),
        signs=(PMEM_SIGN,),
        persistent=128,
        needs=("BLK_DEV_PMEM", "FS_DAX"),
        image="soak",
    ),
    MachineSpec(
        "virtio-mem",
        (Node(2, 512),),
        extra=VIRTIO_MEM,
        parameters=("memhp_default_state=online_movable",),
        signs=(Sign("memory of virtio-mem", "/proc/iomem", r"System RAM \((virtio_mem)\)", "virtio_mem"),),
        room=256,
        needs=("VIRTIO_MEM",),
    ),
    MachineSpec(
        "hotplug",
        (Node(2, 512),),
        ("x86_64",),
        signs=(MODULE_SIGN,),
        room=256,
        needs=("ACPI_HOTPLUG_MEMORY", "MEMORY_HOTREMOVE"),
    ),
    # arm64 without CPU hotplug starts another kernel from its only CPU or not at all (machine_kexec_prepare()). x86_64
    # starts nothing but a bzImage (kexec-bzimage64.c), which the gate does not make: it boots vmlinux.
    # No ITS: without firmware that keeps its tables, the next kernel taints itself (irq-gic-v3-its.c). The next kernel
    # goes where nothing is handed over, into the first such area that has room (kho_scratch=: low, anywhere, of each
    # node), and its initramfs behind it (load_other_segments() of arm64, 7.2). As large as the kernel makes the first
    # area by itself, twice what booting took, that depends on the size of the initramfs.
    MachineSpec(
        "kexec",
        (Node(1, 512),),
        ("arm64",),
        extra=("-machine", "its=off"),
        parameters=("kho=on", "kho_scratch=64M,16M,16M"),
        signs=(KEXEC_SIGN,),
        kexec=True,
        needs=("KEXEC_HANDOVER",),
    ),
)
"""Every machine. lse and llsc are the two kinds of arm64 atomics: instructions of their
own (ARMv8.1), and pairs of exclusive loads and stores, which a Cortex-A72 is left with."""


def specs(arch: str) -> dict[str, MachineSpec]:
    """The machines of ARCH by name. Raises UserError for an unknown architecture."""
    if arch not in PLATFORMS:
        raise unknown("architecture", arch, PLATFORMS)
    return {spec.name: spec for spec in SPECS if arch in spec.arches}


def find(arch: str, name: str) -> MachineSpec:
    """The machine NAME of ARCH.

    Raises UserError when there is none of that name, or it is one of another architecture.
    """
    of_arch = specs(arch)
    if name in of_arch:
        return of_arch[name]
    for spec in SPECS:
        if spec.name == name:
            raise UserError(f"machine '{name}' exists on {', '.join(spec.arches)} only: add --arch {spec.arches[0]}")
    raise unknown("machine", name, of_arch)


@dataclass(frozen=True)
class Boot:
    """All that decides what a guest is: a restored one is the booted one's equal in each.

    accel is "kvm" or "tcg"; append more words of the kernel's command line.
    """

    kernel: Kernel
    spec: MachineSpec
    initramfs: Path
    accel: str
    append: str = ""

    @property
    def platform(self) -> Platform:
        """The architecture's part."""
        return PLATFORMS[self.kernel.arch]

    @property
    def parameters(self) -> str:
        """The kernel's command line."""
        own = [f"console={self.platform.console}", *self.platform.parameters, *PARAMETERS]
        if self.spec.persistent:
            start, size = self.persistent
            own.append(
                self.platform.persistent.format(start=start, size=size >> 20, rest=self.spec.memory - (size >> 20))
            )
        return " ".join([*own, *self.spec.parameters, *self.append.split()])

    @property
    def persistent(self) -> tuple[int, int]:
        """Where the persistent memory begins and how long it is, in bytes."""
        before = self.spec.memory - self.spec.persistent
        return self.platform.ram + (before << 20), self.spec.persistent << 20

    @property
    def described(self) -> bool:
        """Whether the machine needs a device tree of its own: see devicetree.py."""
        return bool(self.spec.persistent) and self.platform.described


def qemu_argv(boot: Boot, memory: Path, shared: bool, in_turn: bool = False) -> list[str]:
    """QEMU's command line for BOOT, without its console and control channels.

    MEMORY is the folder of the memory files, mapped SHARED for a guest that boots, or
    privately for one that is restored, which has its kernel in memory already. Emulated
    CPUs run at once, or IN_TURN in one thread: see machine.boot().
    """
    common = boot.platform
    cpu = boot.spec.cpu or ("host" if boot.accel == "kvm" else common.cpu)
    thread = "single" if in_turn else "multi"
    accel = f"tcg,thread={thread}" if boot.accel == "tcg" else boot.accel
    # fmt: off
    return [
        command.find(common.qemu, common.package),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display", "none",
        "-accel", accel,
        "-machine", common.machine,
        "-cpu", cpu,
        "-smp", f"{boot.spec.cpus},sockets={boot.spec.sockets}",
        "-m", _memory(boot.spec),
        *_numa(boot.spec, memory, shared),
        *(_start(boot, memory) if shared else []),
        "-netdev", "user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", "virtio-net-pci,netdev=net,romfile=,guest_announce=off",
        *common.options,
        *boot.spec.extra,
    ]
    # fmt: on


def _start(boot: Boot, memory: Path) -> list[str]:
    """What a booting guest is started with. To read it takes QEMU as long as the rest of its start."""
    # fmt: off
    return [
        "-kernel", str(boot.kernel.image),
        "-initrd", str(boot.initramfs),
        "-append", boot.parameters,
        *(["-dtb", str(memory / DEVICE_TREE)] if boot.described else []),
    ]
    # fmt: on


def _memory(spec: MachineSpec) -> str:
    room = f",slots={SLOTS},maxmem={spec.memory + spec.room}M" if spec.room else ""
    return f"{spec.memory}M{room}"


def _numa(spec: MachineSpec, memory: Path, shared: bool) -> list[str]:
    words: list[str] = []
    first = 0
    for number, node in enumerate(spec.nodes):
        numa = f"node,nodeid={number}"
        if node.cpus:
            numa += f",cpus={first}-{first + node.cpus - 1}"
            first += node.cpus
        if node.memory:
            share = "on" if shared else "off"
            backend = f"memory-backend-file,id=node{number},size={node.memory}M,share={share}"
            words += ["-object", f"{backend},mem-path={escaped(memory / f'memory{number}')}"]
            numa += f",memdev=node{number}"
        words += ["-numa", numa]
    return words


def escaped(path: Path) -> str:
    """PATH as it is written inside a QEMU option, where a comma is doubled."""
    return str(path).replace(",", ",,")


def memory_files(boot: Boot) -> list[str]:
    """The files of BOOT in its memory folder. Memory that is no node's is part of the state of QEMU instead."""
    tree = [DEVICE_TREE] if boot.described else []
    return tree + [f"memory{number}" for number, node in enumerate(boot.spec.nodes) if node.memory]
