# SPDX-License-Identifier: GPL-2.0-only
"""Compile programs for the guest: static, so that it needs no library of ours.

images/programs/ holds two kinds. kg_NAME.c are tests, compiled here and copied into the
guest that runs them, as modules are. All others are a part of the image (see image.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kernelgate import kbuild
from kernelgate.cache import Cache, digest
from kernelgate.command import find, run
from kernelgate.errors import CommandError, InfrastructureError
from kernelgate.kbuild import TOOLCHAINS
from kernelgate.progress import Report, Step

TESTS = "kg_*"
"""The names of test programs and of what they include."""

FLAGS = ("-static", "-Os", "-s", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")


def build(arch: str, folder: Path, cache: Cache, report: Report) -> dict[str, Path]:
    """The test programs of FOLDER for ARCH by name; made once for each state of their sources.

    Raises InfrastructureError with the compiler's lines when one does not compile: that
    is no verdict on the series, and no pass either.
    """
    files = sorted(folder.glob(f"{TESTS}.[ch]"))
    sources = [path for path in files if path.suffix == ".c"]
    key = f"{arch}-{digest(files, kbuild.compiler_version(TOOLCHAINS[arch]), *FLAGS)}"

    def make(place: Path) -> None:
        report(Step(f"test programs for {arch}"))
        compile_all(arch, sources, place)

    made = cache.publish("programs", key, make)
    return {source.stem: made / source.stem for source in sources}


def compile_all(arch: str, sources: Iterable[Path], folder: Path) -> None:
    """Compile each of SOURCES for ARCH into FOLDER, under its own name without suffix.

    Raises InfrastructureError: the compiler is missing, or has something to say.
    """
    tools = TOOLCHAINS[arch]
    compiler = find(f"{tools.cross}gcc", tools.package)
    for source in sources:
        try:
            run([compiler, *FLAGS, "-o", folder / source.stem, source])
        except CommandError as error:
            raise InfrastructureError(f"{source.name} does not compile for {arch}\n{error.output.strip()}") from None
