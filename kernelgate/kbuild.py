# SPDX-License-Identifier: GPL-2.0-only
"""Run the kernel's make: with which compiler, in which environment, and what its failure means.

Everything that would make two builds of the same sources differ is fixed here, and
everything that a user's environment could slip in is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate import compiler
from kernelgate.command import find, run, run_lines
from kernelgate.errors import BuildError, InfrastructureError

CCACHE_SIZE = "3G"
"""Of compressed objects: some ten kernels of both architectures."""


@dataclass(frozen=True)
class Toolchain:
    """How an architecture is built: the compiler's prefix and Debian package, make's target, what QEMU boots.

    objects is how many there are in 7.2 with debug_vm: for a first progress bar.
    """

    arch: str
    cross: str
    package: str
    target: str
    image: str
    objects: int

    @property
    def words(self) -> tuple[str, ...]:
        """make's words for the architecture."""
        return (f"ARCH={self.arch}", f"CROSS_COMPILE={self.cross}")


TOOLCHAINS = {
    "x86_64": Toolchain("x86_64", "", "gcc", "vmlinux", "vmlinux", 1390),
    "arm64": Toolchain("arm64", "aarch64-linux-gnu-", "gcc-aarch64-linux-gnu", "Image", "arch/arm64/boot/Image", 1050),
}

PROGRAMS = {
    "make": "make",
    "gcc": "gcc",  # for the programs that run while building, whatever the architecture
    "ccache": "ccache",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "readelf": "binutils",
}
"""What a build needs beside the compiler, and the Debian package that has it."""

_EMPTIED = ("MAKEFLAGS", "KBUILD_OUTPUT", "O", "KCFLAGS", "KAFLAGS", "KCPPFLAGS", "LOCALVERSION", "W", "C", "V", "M")


def environment(ccache: Path) -> dict[str, str]:
    """The environment of every make; CCACHE is the folder of ccache."""
    return {
        **dict.fromkeys(_EMPTIED, ""),
        "LC_ALL": "C",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan 1 00:00:00 UTC 1970",
        "KBUILD_BUILD_USER": "kernelgate",
        "KBUILD_BUILD_HOST": "kernelgate",
        "KBUILD_BUILD_VERSION": "1",
        "CCACHE_DIR": str(ccache),
        "CCACHE_MAXSIZE": CCACHE_SIZE,
        "CCACHE_COMPRESS": "1",
    }


def check_programs(tools: Toolchain) -> None:
    """Raise InfrastructureError, naming the Debian package, for whatever a build would miss."""
    for program, package in PROGRAMS.items():
        find(program, package)
    find(f"{tools.cross}gcc", tools.package)
    if run([f"{tools.cross}gcc", "-E", "-x", "c", "/dev/null"], check=False).status:
        raise InfrastructureError(f"{tools.cross}gcc does not run: apt install {tools.package}")
    if tools.arch == "x86_64" and run(["gcc", "-E", "-x", "c", "-"], stdin="#include <gelf.h>\n", check=False).status:
        raise InfrastructureError("gelf.h, which the kernel's objtool needs, is missing: apt install libelf-dev")


def compiler_version(tools: Toolchain) -> str:
    """The first line of the compiler's --version: part of what a build depends on."""
    return run([find(f"{tools.cross}gcc", tools.package), "--version"]).stdout.splitlines()[0]


def make(
    folder: Path,
    words: Sequence[str],
    log: Path,
    ccache: Path,
    on_line: Callable[[str], None] = lambda _line: None,
) -> tuple[str, ...]:
    """Run `make WORDS` in FOLDER, append what it prints to LOG, and return its lines.

    Raises BuildError with the compiler's lines and the log's name, InfrastructureError
    when the failure is not the tree's (disk full, compiler killed, header not installed).
    """
    ccache.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as record:

        def take(line: str) -> None:
            record.write(line + "\n")
            on_line(line)

        result = run_lines([find("make", "make"), *words], take, cwd=folder, env=environment(ccache))
    lines = tuple(result.stdout.splitlines())
    if result.status < 0:
        raise InfrastructureError(f"make was ended by signal {-result.status}; its log: {log}")
    if result.status:
        raise failure(lines, log)
    return lines


def failure(lines: Sequence[str], log: Path) -> BuildError | InfrastructureError:
    """The error for a make that printed LINES and failed."""
    blamed = compiler.outside(lines)
    if blamed:
        return InfrastructureError(f"the build stopped for lack of something: {blamed.strip()}: see {log}")
    return BuildError("\n".join([*compiler.errors(lines), f"the whole log: {log}"]))


def compiles(folder: Path) -> int:
    """How many objects FOLDER holds already, from a build that did not come to its end."""
    return sum(1 for _ in folder.rglob("*.o")) if folder.is_dir() else 0


def link_tree(tree: Path, folder: Path, own: Sequence[str]) -> None:
    """Make FOLDER look like TREE by links to its entries, except the hidden ones and those named in OWN."""
    for entry in sorted(tree.iterdir()):
        link = folder / entry.name
        if entry.name.startswith(".") or entry.name in own or (link.is_symlink() and link.readlink() == entry):
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(entry)
