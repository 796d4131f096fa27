# SPDX-License-Identifier: GPL-2.0-only
"""A guest that starts in a tenth of a second and does one thing: what machine.py is tried on."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from kernelgate.machine import READY
from kernelgate.topology import Boot, find

SOURCE = Path(__file__).with_name("bare_guest.S")


class BareKernel:
    """What topology needs of a build.Kernel."""

    arch = "arm64"
    slowness = 1.0

    def __init__(self, image: Path) -> None:
        self.image = image


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The machine code of bare_guest.S."""
    folder = tmp_path_factory.mktemp("bare")
    linked, flat = folder / "bare.elf", folder / "bare.bin"
    subprocess.run(["aarch64-linux-gnu-gcc", "-nostdlib", "-static", "-o", linked, SOURCE], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", linked, flat], check=True)
    return flat.read_bytes()


def bare_boot(code: bytes, folder: Path, how: str, text: str) -> Boot:
    """A guest that prints TEXT and ends as HOW says (a letter of bare_guest.S)."""
    image = folder / "image"
    image.write_bytes(code + how.encode() + text.encode() + b"\0")
    initramfs = folder / "initramfs"
    initramfs.write_bytes(b"none")
    return Boot(cast(Any, BareKernel(image)), find("arm64", "smp2"), initramfs, "tcg")


def ready_boot(code: bytes, folder: Path) -> Boot:
    """A guest that says that it is ready, and spins."""
    return bare_boot(code, folder, "s", f"[    0.100000] {READY}\n")
