# SPDX-License-Identifier: GPL-2.0-only
"""The device tree of a machine with persistent memory, which QEMU's own tree does not tell of.

QEMU writes its tree to a file, and fdtput (of dtc, the device tree compiler) adds a node
after Documentation/devicetree/bindings/pmem/pmem-region.yaml.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from kernelgate import command
from kernelgate.topology import DEVICE_TREE, Boot, escaped, qemu_argv

DUMP_SECONDS = 20.0
"""How long QEMU may take to write its tree; it takes a tenth of a second."""


def make(boot: Boot, memory: Path) -> None:
    """Write the tree of BOOT into MEMORY, the folder of the memory files, where qemu_argv() has QEMU look for it.

    Nothing is done for a machine that needs none of its own. Raises InfrastructureError
    (CommandError) when QEMU or fdtput is not there or fails.
    """
    for argv in commands(boot, memory):
        command.run(argv, timeout=DUMP_SECONDS)


def script(boot: Boot, memory: Path) -> str:
    """What make() does, as words of a shell that end with "&& "; empty where it does nothing."""
    return "".join(f"{shlex.join(argv)} && " for argv in commands(boot, memory))


def commands(boot: Boot, memory: Path) -> list[list[str]]:
    """The commands that make() runs."""
    if not boot.described:
        return []
    tree, fdtput = memory / DEVICE_TREE, command.find("fdtput", "device-tree-compiler")
    start, size = boot.persistent
    node = f"/pmem@{start:x}"
    plain = replace(boot, spec=replace(boot.spec, persistent=0))
    dump = [*qemu_argv(plain, memory, shared=True), "-machine", f"dumpdtb={escaped(tree)}"]
    cells = [f"{half:#x}" for number in (start, size) for half in (number >> 32, number & 0xFFFFFFFF)]
    return [
        dump,
        [fdtput, "-c", str(tree), node],
        [fdtput, "-t", "s", str(tree), node, "compatible", "pmem-region"],
        [fdtput, "-t", "x", str(tree), node, "reg", *cells],
    ]
