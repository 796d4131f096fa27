# SPDX-License-Identifier: GPL-2.0-only
"""Whether guests can run under KVM here, asked of a kernel and not of /dev/kvm."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path

from kernelgate import command
from kernelgate.build import Kernel
from kernelgate.cache import Cache
from kernelgate.errors import GuestDied, InfrastructureError, UserError, unknown
from kernelgate.machine import boot
from kernelgate.topology import PLATFORMS, Boot, MachineSpec, find

ACCELERATORS = ("auto", "kvm", "tcg")
ANSWER = "answer"


def choose(kernel: Kernel, spec: MachineSpec, initramfs: Path, wanted: str, cache: Cache) -> str:
    """What SPEC runs under: "kvm" or "tcg", where WANTED is one of these or "auto".

    That /dev/kvm opens says little: nested in some hypervisors it makes a machine in
    which no kernel boots. KVM is believed when KERNEL has answered under it, which is
    asked once for each boot of this host and remembered in CACHE.
    Raises UserError when KVM was wanted and cannot be had, or WANTED is unknown.
    """
    if wanted not in ACCELERATORS:
        raise unknown("accelerator", wanted, ACCELERATORS)
    if wanted == "tcg":
        return "tcg"
    obstacle = _kvm_obstacle(kernel.arch, spec)
    if obstacle is None and not _answers_under_kvm(kernel, initramfs, cache):
        obstacle = "/dev/kvm is there, but no kernel answers under it"
    if obstacle is None:
        return "kvm"
    if wanted == "kvm":
        raise UserError(f"--accel kvm cannot be had: {obstacle}: use --accel tcg or auto")
    return "tcg"


def _kvm_obstacle(arch: str, spec: MachineSpec) -> str | None:
    """Why KVM need not be tried; None when it must be."""
    host = platform.machine().replace("aarch64", "arm64")
    if arch != host:
        return f"an {arch} kernel on an {host} host"
    if spec.cpu is not None:
        return f"machine '{spec.name}' is about a CPU model, which is emulated"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not there or not ours to open"
    return None


def _answers_under_kvm(kernel: Kernel, initramfs: Path, cache: Cache) -> bool:
    def ask(place: Path) -> None:
        trial = Boot(kernel, find(kernel.arch, "smp2"), initramfs, "kvm")
        try:
            with tempfile.TemporaryDirectory(dir=place) as workdir, boot(trial, Path(workdir)):
                answer = "yes"
        except (GuestDied, InfrastructureError) as error:
            answer = f"no: {error}"
        (place / ANSWER).write_text(answer)

    qemu = command.run([PLATFORMS[kernel.arch].qemu, "--version"]).stdout
    host = Path("/proc/sys/kernel/random/boot_id").read_text()
    key = hashlib.sha256((qemu + host).encode()).hexdigest()[:16]
    return (cache.publish("kvm", f"{kernel.arch}-{key}", ask) / ANSWER).read_text() == "yes"
