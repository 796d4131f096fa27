# SPDX-License-Identifier: GPL-2.0-only
"""Build a kernel from a patched tree, and the test modules against a kernel.

A build folder of the cache holds links to the entries of the tree and, beside them, the
folder `out`, where make runs. Kbuild then sees its sources as `..` (the tree's Makefile,
"Building in a subdirectory of the source"): no command names a place, so that ccache
finds the objects of another patch level again, although each has a folder of its own.

The stamp in the folder is the last thing written: without it make goes on where it was
killed, with it make is not run at all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kernelgate import compiler, kbuild, kconfig
from kernelgate.cache import Cache
from kernelgate.command import find, pipe, run
from kernelgate.errors import BuildError, InfrastructureError, UserError
from kernelgate.kbuild import TOOLCHAINS, Toolchain
from kernelgate.kconfig import Fragments
from kernelgate.progress import Report, Step, silent
from kernelgate.series import PatchedTree
from kernelgate.variant import Variant, detect

RECIPE = "1"
"""Part of every key: raise it when the way of building changes."""

OUT = "out"
STAMP = "STAMP.json"
LOG = "build.log"
INTERMEDIATE = ("*.o", "*.a", ".tmp_vmlinux*", ".vmlinux.export.c")
"""What only another make in the same folder would want."""

KCONFIGS = Path(__file__).resolve().parent.parent / "kconfigs"

NEEDED = (
    "MODULES", "KUNIT", "KPROBES", "KALLSYMS_ALL", "DEBUG_FS", "BLK_DEV_INITRD", "RD_GZIP", "DEVTMPFS", "TMPFS",
    "NET", "INET", "VIRTIO_PCI", "VIRTIO_NET", "UNIX98_PTYS",
)  # fmt: skip
"""Options, built in, without which no test can run: asked of a build folder that somebody else made."""

NEEDED_BY_ARCH = {
    "x86_64": ("SERIAL_8250_CONSOLE",),
    "arm64": ("SERIAL_AMBA_PL011_CONSOLE", "PCI_HOST_GENERIC"),  # without its bridge, no network
}

MACHINES = {"x86_64": 62, "arm64": 183}
"""e_machine of an ELF file (elf(5)): EM_X86_64, EM_AARCH64."""


SPARSE = "sparse -D__typeof_unqual__=__typeof__ '-D__builtin_strlen(s)=(sizeof(s)-1)'"
"""Debian 12 has sparse 0.6.4. It lacks the one word, which 7.x asks for (scripts/checker-valid.sh), and does not
fold the other, which MODULE_INFO() of 7.x asserts on: after such an error it would say nothing more. cast-truncate
is what arm64's cmpxchg.h gets for any value with bit 31."""


SLOWNESS = {"KASAN": 2.0, "KCSAN": 3.0, "PROVE_LOCKING": 2.0}
"""How many times longer than others a kernel with one of these options may take for anything."""


@dataclass(frozen=True)
class Kernel:
    """One built kernel.

    image is what QEMU boots, config the name of the configuration, version that of the
    base (the release, for a kernel built elsewhere); key tells it from all others;
    warnings are the compiler's.
    """

    arch: str
    config: str
    image: Path
    vmlinux: Path
    config_file: Path
    release: str
    build_id: str
    build_dir: Path
    source_dir: Path
    variant: Variant
    version: str
    key: str
    warnings: tuple[str, ...] = ()

    @functools.cached_property
    def options(self) -> Mapping[str, str]:
        """Its .config, names without CONFIG_."""
        return kconfig.parse_config(self.config_file.read_text(encoding="utf-8"))

    def has(self, option: str) -> bool:
        """Whether OPTION is built in."""
        return self.options.get(option) == "y"

    @property
    def slowness(self) -> float:
        """By how much to stretch deadlines for what its instrumentation costs."""
        return max((factor for option, factor in SLOWNESS.items() if self.has(option)), default=1.0)


@dataclass(frozen=True)
class KernelModule:
    """One test module, e.g. kg_page_ref, and the release that its vermagic names."""

    name: str
    path: Path
    kernel_release: str


@dataclass(frozen=True)
class Stamp:
    """What a finished build was; seconds on the clock, sizes in bytes by path under `out`."""

    release: str
    build_id: str
    arch: str
    config: str
    objects: int
    seconds: float
    warnings: list[str]
    sizes: dict[str, int]


@dataclass(frozen=True)
class Order:
    """A kernel that is asked for: of which tree, for which architecture, with which configuration.

    config names configurations or fragments, joined by "+", of the folder kconfigs; jobs None is one more than there
    are processors.
    """

    tree: PatchedTree
    arch: str
    config: str
    cache: Cache
    jobs: int | None = None
    report: Report = silent
    kconfigs: Path = KCONFIGS

    @functools.cached_property
    def fragments(self) -> Fragments:
        """What config stands for. Raises UserError for one that cannot be had."""
        return kconfig.compose(self.config.split("+"), self.arch, self.kconfigs, self.tree.version)

    @property
    def tools(self) -> Toolchain:
        return TOOLCHAINS[self.arch]

    @property
    def key(self) -> str:
        """Tells its kernel from all others in the cache."""
        digest = _digest(RECIPE, self.tree.commit, self.fragments.text, kbuild.compiler_version(self.tools))
        return re.sub(r"[^\w.+~-]", "_", f"{self.tree.version}-{self.arch}-{self.config}-{digest}")


def build(order: Order) -> Kernel:
    """The kernel of ORDER, from the cache where it is there.

    Raises UserError for a configuration that cannot be had, BuildError with the
    compiler's lines, InfrastructureError for a missing program or a full disk.
    """
    tree = order.tree
    with order.cache.workplace("builds", order.key, order.report) as place:
        stamp = read_stamp(place) or make_in(place, order)
        kbuild.link_tree(tree.path, place, (OUT, STAMP, LOG))
    out = place / OUT
    return Kernel(
        order.arch, order.config, out / order.tools.image, out / "vmlinux", out / ".config", stamp.release,
        stamp.build_id, out, tree.path, detect(tree.path), tree.version, order.key, tuple(stamp.warnings),
    )  # fmt: skip


def make_in(place: Path, order: Order) -> Stamp:
    """Make the kernel of ORDER in the folder PLACE, which the caller has locked, with whatever is there already.

    Raises what build() raises.
    """
    work = _Work(order, place)
    kbuild.link_tree(order.tree.path, place, (OUT, STAMP, LOG))
    return _make_all(work)


def adopt(out: Path, stamp: Stamp, order: Order) -> None:
    """Make what was built in OUT, with STAMP, the kernel that build() finds for ORDER.

    Its objects are left behind: neither QEMU nor a module wants them, and make is not run again in a stamped folder.
    """
    with order.cache.workplace("builds", order.key, order.report) as place:
        (place / STAMP).unlink(missing_ok=True)
        kbuild.link_tree(order.tree.path, place, (OUT, STAMP, LOG))
        shutil.rmtree(place / OUT, ignore_errors=True)
        (place / OUT).mkdir()
        without = [f"--exclude={pattern}" for pattern in INTERMEDIATE]
        pipe(["tar", "-C", out, *without, "-c", "."], ["tar", "-C", place / OUT, "-x"])
        _write_stamp(place, stamp)


def is_built(order: Order) -> bool:
    """Whether build() would find that kernel finished. Raises UserError for a configuration that cannot be had."""
    return read_stamp(order.cache.root / "builds" / order.key) is not None


def existing(build_dir: Path) -> Kernel:
    """The kernel that somebody built in BUILD_DIR, of whichever architecture.

    Raises UserError when something that the tests need is missing there.
    """
    folder = build_dir.absolute()
    for name in (".config", "vmlinux", "Module.symvers", "include/config/kernel.release"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}: name a folder in which a kernel and its modules were built")
    values = kconfig.parse_config((folder / ".config").read_text(encoding="utf-8"))
    arch = _arch_of(folder, values)
    missing = [name for name in (*NEEDED, *NEEDED_BY_ARCH[arch]) if values.get(name) != "y"]
    if missing:
        raise UserError(f"{folder}: the tests need CONFIG_{'=y CONFIG_'.join(missing)}=y: configure and build again")
    release = (folder / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    build_id = _build_id(folder / "vmlinux")
    source = _source_of(folder)
    return Kernel(
        arch, "as-found", _image_of(folder, arch, values), folder / "vmlinux", folder / ".config", release, build_id,
        folder, source, detect(source), release, f"existing-{release}-{arch}-{_digest(str(folder), build_id)}",
    )  # fmt: skip


def build_modules(kernel: Kernel, kmod_dir: Path, cache: Cache, report: Report) -> dict[str, KernelModule]:
    """The modules of KMOD_DIR built against KERNEL, by name.

    Raises InfrastructureError with the compiler's lines when they do not build: that is
    no verdict on the series, and no pass either.
    """
    sources = _module_sources(kmod_dir)
    texts = [part for path in sources for part in (path.name, path.read_text(encoding="utf-8"))]
    names = {path.name for path in sources}
    symbols = (kernel.build_dir / "Module.symvers").read_text(encoding="utf-8")
    key = f"{kernel.key}-{_digest(RECIPE, kernel.build_id, symbols, *texts)}"

    def make(place: Path) -> None:
        report(Step(f"test modules for {kernel.version} {kernel.arch} {kernel.config}"))
        for path in sources:
            shutil.copyfile(path, place / path.name)
        make_modules(kernel, place, cache)
        for path in place.rglob("*"):
            if path.is_file() and path.suffix != ".ko" and path.name not in names:
                path.unlink()  # what only another make would want

    folder = cache.publish("modules", key, make, report)
    return {path.stem: KernelModule(path.stem, path, kernel.release) for path in sorted(folder.glob("*.ko"))}


def sparse_modules(kernel: Kernel, kmod_dir: Path, place: Path, cache: Cache) -> list[str]:
    """What sparse, and the compiler with W=1, say of the modules of KMOD_DIR; PLACE is an empty folder to build in.

    Raises InfrastructureError when sparse is missing or the modules do not build.
    """
    find("sparse", "sparse")
    sources = _module_sources(kmod_dir)
    for path in sources:
        shutil.copyfile(path, place / path.name)
    said: list[str] = []
    make_modules(kernel, place, cache, ("C=2", f"CHECK={SPARSE}", "CF=-Wno-cast-truncate", "W=1"), said.append)
    if not any(line.lstrip().startswith("CHECK ") for line in said):
        raise InfrastructureError(f"sparse did not run on the modules: {' '.join(said[:3])}")
    ours = tuple(f"{path.name}:" for path in sources)
    return [line for line in said if re.search(r": (?:warning|error):", line) and any(name in line for name in ours)]


@dataclass(frozen=True)
class Compiled:
    """What the compiler said of some files at W=1: the objects that could not be made, why not, and its warnings."""

    failed: tuple[str, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def worse_than(self, before: Compiled) -> list[str]:
        """What of this is new since BEFORE; warnings count as the same wherever they stand in a file."""
        fresh = [*self.errors] if set(self.failed) - set(before.failed) else []
        known = {_anywhere(line) for line in before.warnings}
        return fresh + [line for line in self.warnings if _anywhere(line) not in known]


def _anywhere(line: str) -> str:
    """A compiler's LINE without line and column."""
    return re.sub(r":\d+(?::\d+)?:", ":", line)


def compile_files(order: Order, files: Sequence[str]) -> Compiled:
    """Compile FILES of the tree of ORDER, each by itself, with W=1; no kernel is linked.

    Raises UserError for a configuration that cannot be had, BuildError where the tree cannot
    even be prepared, InfrastructureError for a missing program or a full disk.
    """
    objects = sorted(file.removesuffix(".c") + ".o" for file in files)
    kbuild.check_programs(order.tools)
    digest = _digest(RECIPE, order.fragments.text, kbuild.compiler_version(order.tools))
    with order.cache.workplace("compiles", f"{order.tree.version}-{order.arch}-{digest}") as place:
        kbuild.link_tree(order.tree.path, place, (OUT, STAMP, LOG))
        work = _Work(order, place)
        if not (work.out / ".config").is_file():
            work.out.mkdir(exist_ok=True)
            _configure(work)
        work.make("prepare")
        for name in objects:
            (work.out / name).unlink(missing_ok=True)  # files of another patch level are not newer than this
        said: list[str] = []
        with suppress(BuildError):
            work.make("--keep-going", f"-j{order.jobs or _processors()}", "W=1", *objects, on_line=said.append)
        failed = tuple(name for name in objects if not (work.out / name).is_file())
    return Compiled(failed, compiler.errors(said) if failed else (), compiler.warnings(said))


def _module_sources(kmod_dir: Path) -> list[Path]:
    return sorted(path for path in kmod_dir.iterdir() if path.suffix in (".c", ".h") or path.name == "Kbuild")


def read_stamp(place: Path) -> Stamp | None:
    """The stamp of the finished build in PLACE; None when it is not finished or its files are not those it made."""
    try:
        stamp = Stamp(**json.loads((place / STAMP).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    whole = all(_size(place / OUT / name) == size for name, size in stamp.sizes.items())
    return stamp if whole else None


@dataclass(frozen=True)
class _Work:
    """One build under way."""

    order: Order
    place: Path

    @property
    def out(self) -> Path:
        return self.place / OUT

    @property
    def title(self) -> str:
        return f"build {self.order.tree.version} {self.order.arch} {self.order.config}"

    def make(self, *words: str, on_line: Callable[[str], None] = lambda _line: None) -> None:
        # File names in the debug information are relative to the tree, as in a build inside it. ccache leaves
        # this option's value out of its keys and applies it to the folder, so that objects of other folders fit.
        flags = f"-fdebug-prefix-map={self.out}=. -fdebug-prefix-map=../="
        tools, ccache = self.order.tools, self.order.cache.root / "ccache" / "objects"
        compilers = (f"CC=ccache {tools.cross}gcc", "HOSTCC=ccache gcc", f"KCFLAGS={flags}", f"KAFLAGS={flags}")
        argv = ("-f", "../Makefile", *tools.words, *compilers, *words)
        kbuild.make(self.out, argv, self.place / LOG, ccache, on_line)


def _make_all(work: _Work) -> Stamp:
    """Configure, compile, and leave the stamp."""
    order, tools = work.order, work.order.tools
    kbuild.check_programs(tools)
    if changed := order.tree.changed():
        raise InfrastructureError(
            f"somebody has written into the tree {order.tree.path}: {' '.join(changed[:5])}: remove {order.cache.root}"
        )
    began = time.monotonic()
    order.report(Step(work.title))
    (work.place / STAMP).unlink(missing_ok=True)
    work.out.mkdir(exist_ok=True)
    try:
        _configure(work)
        objects = _compile(work)
    except BuildError as error:
        raise BuildError(f"{work.title}: it does not compile\n{error}") from None
    out = work.out
    stamp = Stamp(
        (out / "include/config/kernel.release").read_text(encoding="utf-8").strip(),
        _build_id(out / "vmlinux"),
        order.arch,
        order.config,
        objects,
        round(time.monotonic() - began, 1),
        list(compiler.warnings((work.place / LOG).read_text(encoding="utf-8").splitlines())),
        {name: _size(out / name) for name in ("vmlinux", tools.image, "Module.symvers", ".config")},
    )
    _write_stamp(work.place, stamp)
    return stamp


def _write_stamp(place: Path, stamp: Stamp) -> None:
    """Leave STAMP in PLACE, at once or not at all: the last act."""
    draft = place / f"{STAMP}.draft"
    draft.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
    draft.rename(place / STAMP)


def _configure(work: _Work) -> None:
    """`make tinyconfig`, the fragments, `make olddefconfig`, and every option checked (promise 3)."""
    work.make("tinyconfig")
    with (work.out / ".config").open("a", encoding="utf-8") as config:
        config.write(work.order.fragments.text)
    work.make("olddefconfig")
    try:
        kconfig.verify(work.order.fragments, (work.out / ".config").read_text(encoding="utf-8"), work.order.tree.path)
    except UserError:
        shutil.rmtree(work.out)  # nothing half-made is left behind
        raise


def _compile(work: _Work) -> int:
    """Make image and modules; the number of objects there are then."""
    total = _expected(work)
    done = min(kbuild.compiles(work.out), total)

    def count(line: str) -> None:
        nonlocal done
        if compiler.is_object(line):
            done += 1
            work.order.report(Step(work.title, done, max(done, total), "objects"))

    jobs = work.order.jobs or _processors() + 1
    work.make(f"-j{jobs}", work.order.tools.target, "modules", on_line=count)
    return kbuild.compiles(work.out)


def _expected(work: _Work) -> int:
    """The number of objects: of an earlier build of the same kind, or the toolchain's guess."""
    kin = [read_stamp(place) for place in work.place.parent.glob(f"*-{work.order.arch}-*")]
    counts = [stamp.objects for stamp in kin if stamp is not None and stamp.config == work.order.config]
    return max(counts, default=work.order.tools.objects)


def make_modules(
    kernel: Kernel,
    place: Path,
    cache: Cache,
    words: Sequence[str] = (),
    on_line: Callable[[str], None] = lambda _line: None,
) -> None:
    """Build the modules whose sources lie in PLACE, with WORDS for make besides.

    Raises InfrastructureError with the compiler's lines where they do not build.

    Their file names are noted as kmod/…, those of headers as the tree's: a header's name is
    what a BUG in an inline function shows, so it must not depend on the place.
    """
    flags = f"-ffile-prefix-map={_source_of(kernel.build_dir)}/= -ffile-prefix-map={place}=kmod"
    compilers = ("LLVM=1",) if "CONFIG_CC_IS_CLANG=y" in kernel.config_file.read_text(encoding="utf-8") else ()
    argv = ("-C", str(kernel.build_dir), f"M={place}", *TOOLCHAINS[kernel.arch].words, *compilers, f"KCFLAGS={flags}")
    try:
        argv = (*argv, *words, f"-j{_processors()}", "modules")
        kbuild.make(place, argv, place / LOG, cache.root / "ccache" / "objects", on_line)
    except BuildError as error:
        lines = str(error).splitlines()[:-1]  # the log goes away with the folder
        raise InfrastructureError("\n".join([f"the test modules do not build on {kernel.build_dir}", *lines])) from None
    for path in place.glob("*.ko"):
        found = _vermagic(path)
        if found != kernel.release:
            raise InfrastructureError(f"{path.name} was built for {found}, not {kernel.release}: build the kernel anew")


def _arch_of(folder: Path, values: Mapping[str, str]) -> str:
    machine = int.from_bytes((folder / "vmlinux").open("rb").read(20)[18:20], "little")
    for arch, option in (("x86_64", "X86_64"), ("arm64", "ARM64")):
        if values.get(option) == "y" and machine == MACHINES[arch]:
            return arch
    raise UserError(f"{folder}: .config and vmlinux are not of one architecture among {', '.join(MACHINES)}")


def _image_of(folder: Path, arch: str, values: Mapping[str, str]) -> Path:
    """The PVH vmlinux or, without CONFIG_PVH, the bzImage; on arm64 the Image."""
    image = TOOLCHAINS[arch].image
    if arch == "x86_64" and values.get("PVH") != "y":
        image = "arch/x86/boot/bzImage"
    if not (folder / image).is_file():
        raise UserError(f"{folder} has no {image}: make {Path(image).name}")
    return folder / image


def _source_of(folder: Path) -> Path:
    """The tree that FOLDER was built from: its link `source`, or FOLDER itself."""
    source = (folder / "source").resolve() if (folder / "source").exists() else folder
    if not (source / "Kbuild").is_file() or not (source / "mm").is_dir():
        raise UserError(f"{folder}: the kernel tree {source} that it was built from is not there")
    return source


def _build_id(vmlinux: Path) -> str:
    """The GNU build id, hexadecimal; the guest shows its own in /sys/kernel/notes."""
    match = re.search(r"Build ID: ([0-9a-f]+)", run(["readelf", "-n", vmlinux], env={"LC_ALL": "C"}).stdout)
    if match is None:
        raise InfrastructureError(f"{vmlinux} has no build id: its linker was given none")
    return match[1]


def _vermagic(module: Path) -> str:
    match = re.search(rb"\bvermagic=(\S+)", module.read_bytes())
    return match[1].decode() if match else "no kernel at all"


def _processors() -> int:
    return os.cpu_count() or 1


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
