# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own tests: which of them the gate runs, and how they are made of the tree that is judged.

tests/in_tree/in_tree.toml names them:

    [cow]                           # a program of tools/testing/selftests/mm (before 6.2: selftests/vm)
    arguments = "-s 2"              # of the program, or of insmod; none by default
    prepare = "echo 64 > /proc/sys/vm/nr_hugepages"   # what a shell in the guest does before
    machine = "hugepages"           # a group of machines (MACHINES, below); "plain" by default
    seconds = 60                    # how long it may take, stretched as everything is

    [rcutorture]
    module = ["kernel/rcu/rcutorture.c"]            # it is not a program but a module, of the first of such files
    before = "kernel/torture.c"     # a module that has to be there first
    after = "sleep 30; rmmod rcutorture"            # what a shell does when both are
    says = 'End of test: SUCCESS'   # what it writes to the kernel's log where it is content; without, it writes KTAP
    config = "devices"              # the configuration that it asks for; "debug_vm" by default

A program is static, so that it needs no library of the guest's image. A module is compiled as one from outside
the tree: so it can be had of each kernel that exports what it asks for, whatever that was configured for.
"""

from __future__ import annotations

import functools
import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelgate import build, kbuild
from kernelgate.build import Kernel
from kernelgate.cache import Cache, digest
from kernelgate.errors import BuildError, InfrastructureError, UserError, unknown
from kernelgate.kbuild import TOOLCHAINS
from kernelgate.progress import Report, Step
from kernelgate.selection import DEFAULT_CONFIG

FILE = Path("tests/in_tree/in_tree.toml")
BASELINES = Path("tests/in_tree/baseline")
"""A file BASE-ARCH.json for each: the name of a test, the names of its sub-tests, what each does without a series."""

SELFTESTS = Path("tools/testing/selftests")
FOLDERS = ("mm", "vm")
"""Where the programs are: the second is what 6.1 calls it."""

_COPIED = ("tools/arch", "tools/build", "tools/include", "tools/lib", "tools/scripts")
"""What their makefile includes, besides what lies in SELFTESTS and in the folders beside theirs."""
_BESIDE = ("pidfd", "x86", "clone3")
_HEADERS = ("mm/gup_test.h", "lib/test_hmm_uapi.h")
"""What programs include of the kernel's own sources."""
_KEYS = {
    "arguments": str,
    "prepare": str,
    "machine": str,
    "seconds": int,
    "module": list,
    "before": str,
    "after": str,
    "says": str,
    "config": str,
}

MACHINES = {
    "plain": {"x86_64": ("smp2",), "arm64": ("lse",)},
    "hugepages": {"x86_64": ("hugepages",), "arm64": ("hugepages",)},
    "nodes": {"x86_64": ("smp4-numa2",), "arm64": ("smp4-numa2",)},
}
"""The groups of machines that a test may ask for, as the marker `machines` wants them."""


@dataclass(frozen=True)
class Test:
    """One of the kernel's tests; the fields are those of in_tree.toml. module is empty for a program."""

    name: str
    arguments: str = ""
    prepare: str = ""
    machine: str = "plain"
    seconds: int = 20
    module: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    says: str = ""
    config: str = DEFAULT_CONFIG


@dataclass(frozen=True)
class SubTest:
    """One line of what TEST reports; the name says both, e.g. "cow: Basic COW ... with huge zeropage"."""

    test: str
    line: str

    @property
    def name(self) -> str:
        return f"{self.test}: {self.line}"


def read(path: Path) -> dict[str, Test]:
    """The tests of PATH by name. Raises UserError naming the one that is wrong."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from None
    return {name: _test(path, name, table) for name, table in tables.items()}


def _test(path: Path, name: str, table: Mapping[str, Any]) -> Test:
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in _KEYS.items())
            raise UserError(f"{path}: {name}: {key}: a test may have {wanted}")
    if not table.get("module") and (table.get("before") or table.get("after")):
        raise UserError(f"{path}: {name}: 'before' and 'after' are for a module: a program may 'prepare'")
    if table.get("machine", "plain") not in MACHINES:
        raise UserError(f"{path}: {name}: {unknown('machine', str(table['machine']), MACHINES)}")
    return Test(name, **{**table, "module": tuple(table.get("module", ()))})


def asking_for(tests: Mapping[str, Test], machine: str, config: str = DEFAULT_CONFIG) -> list[str]:
    """The names of those of TESTS that ask for the group MACHINE and the configuration CONFIG."""
    return [name for name, test in tests.items() if (test.machine, test.config) == (machine, config)]


def baseline(folder: Path, base: str, arch: str) -> dict[str, dict[str, str]]:
    """What the tests do on BASE, e.g. "7.2", without a series: by test and sub-test, "passed" or what else and why.

    Empty where nobody has recorded it.
    """
    path = folder / f"{base}-{arch}.json"
    return dict(_recorded(path)) if path.is_file() else {}


@functools.cache
def _recorded(path: Path) -> dict[str, dict[str, str]]:
    """The baseline at PATH, read once: each of some thousand items asks for it."""
    recorded: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return recorded


def sub_tests(folder: Path, tests: Iterable[str]) -> list[SubTest]:
    """The sub-tests of TESTS that any baseline of FOLDER knows."""
    recorded = [_recorded(path) for path in sorted(folder.glob("*.json"))]
    lines = {test: dict.fromkeys(line for one in recorded for line in one.get(test, ())) for test in tests}
    return [SubTest(test, line) for test, found in lines.items() for line in found]


def build_modules(kernel: Kernel, tests: Iterable[Test], cache: Cache, report: Report) -> dict[str, Path]:
    """The modules among TESTS that the tree of KERNEL has, and what they want before them, by name.

    Only those of the configuration that KERNEL has: another one may not export what they ask for.
    Raises InfrastructureError with the compiler's lines where one does not build.
    """
    sources = _module_sources(kernel.source_dir, [test for test in tests if test.config == kernel.config])
    key = f"{kernel.key}-{kernel.build_id[:12]}-{digest(sources.values())}"

    def make(place: Path) -> None:
        report(Step(f"the tree's own modules for {kernel.version} {kernel.arch} {kernel.config}"))
        for path in sources.values():
            shutil.copyfile(path, place / path.name)
        objects = " ".join(f"{path.stem}.o" for path in sources.values())
        folders = sorted({str(path.parent.relative_to(kernel.source_dir)) for path in sources.values()})
        includes = " ".join(f"-I$(srctree)/{folder}" for folder in folders)
        (place / "Kbuild").write_text(f"obj-m := {objects}\nccflags-y += {includes}\n")
        build.make_modules(kernel, place, cache)

    folder = cache.publish("in-tree-modules", key, make, report)
    return {name: folder / f"{path.stem}.ko" for name, path in sources.items()}


def _module_sources(tree: Path, tests: Iterable[Test]) -> dict[str, Path]:
    sources: dict[str, Path] = {}
    for test in tests:
        if found := next((tree / name for name in test.module if (tree / name).is_file()), None):
            sources[test.name] = found
            if test.before:
                sources[Path(test.before).stem] = tree / test.before
    return sources


def build_programs(kernel: Kernel, tests: Iterable[Test], cache: Cache, report: Report) -> dict[str, Path]:
    """The programs among TESTS that the tree of KERNEL has, by name.

    Raises InfrastructureError with the compiler's lines where one does not build.
    """
    tree = kernel.source_dir
    place_of = next(tree / SELFTESTS / name for name in FOLDERS if (tree / SELFTESTS / name).is_dir())
    names = [test.name for test in tests if not test.module and (place_of / f"{test.name}.c").is_file()]
    files = sorted(path for folder in (place_of, tree / "include/uapi") for path in folder.rglob("*") if path.is_file())
    tools = TOOLCHAINS[kernel.arch]
    headers = [tree / name for name in _HEADERS]
    key = f"{kernel.arch}-{digest([*files, *headers], kbuild.compiler_version(tools), *names)}"

    def make(place: Path) -> None:
        report(Step(f"the tree's own programs for {kernel.version} {kernel.arch}"))
        _make_programs(kernel, place_of, names, place, cache)

    folder = cache.publish("in-tree-programs", key, make, report)
    return {name: folder / name for name in names}


def _make_programs(kernel: Kernel, source: Path, names: Iterable[str], place: Path, cache: Cache) -> None:
    """Compile NAMES of the folder SOURCE of the tree into PLACE; their makefile writes beside its sources."""
    tree, work, ccache = kernel.source_dir, place / "work", cache.root / "ccache" / "objects"
    tools, log = TOOLCHAINS[kernel.arch], place / "build.log"
    headers = place / "headers"
    _copy_tools(tree, source, work)
    headers.mkdir()
    try:
        kbuild.make(headers, ("-C", str(tree), f"O={headers}", f"ARCH={kernel.arch}", "headers"), log, ccache)
        words = (
            "-C", str(work / source.relative_to(tree)), f"OUTPUT={place}", *tools.words, "LDFLAGS=-static",
            f"KHDR_INCLUDES=-isystem {headers}/usr/include", *(str(place / name) for name in names),
        )  # fmt: skip
        kbuild.make(place, words, log, ccache)
    except BuildError as error:
        raise InfrastructureError(f"the programs of {source} do not build\n{error}") from None
    shutil.rmtree(work)
    shutil.rmtree(headers)


def _copy_tools(tree: Path, source: Path, work: Path) -> None:
    """Make WORK look like TREE to the makefile in SOURCE, with a copy of all that it may write beside."""
    selftests = work / SELFTESTS
    selftests.mkdir(parents=True)
    for path in (tree / SELFTESTS).iterdir():
        if path.is_file():
            shutil.copy(path, selftests)
    for folder in (source, *(tree / SELFTESTS / name for name in _BESIDE), *(tree / name for name in _COPIED)):
        if folder.is_dir():
            shutil.copytree(folder, work / folder.relative_to(tree), symlinks=True)
    kbuild.link_tree(tree, work, ("tools",))
