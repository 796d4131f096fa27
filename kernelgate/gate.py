# SPDX-License-Identifier: GPL-2.0-only
"""The pipeline: from a base and a series to kernels, guests and verdicts.

conftest.py and scripts/ ask it for verdicts; it makes whatever is missing, once, and
keeps what a failure leaves behind.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from kernelgate import (
    accelerator,
    build,
    decode,
    devicetree,
    dmesg,
    failure,
    image,
    kernel_tests,
    machine,
    programs,
    scratch,
    series,
    static_rules,
    suites,
    topology,
    verdict,
)
from kernelgate.build import Kernel, KernelModule, Order
from kernelgate.cache import Cache
from kernelgate.command import Result
from kernelgate.decode import Decoder
from kernelgate.dmesg import Splat
from kernelgate.errors import BuildError, GuestDied, InfrastructureError, KernelgateError, PassingTrouble, UserError
from kernelgate.guest import Guest, Key, connect, make_key
from kernelgate.kernel_tests import SubTest
from kernelgate.machine import Machine, Snapshot
from kernelgate.manifest import KnownDefect, Manifest
from kernelgate.progress import Report, silent
from kernelgate.reserve import Reserve
from kernelgate.selection import AS_FOUND, DEFAULT_CONFIG, SOURCES, Flavour, Target
from kernelgate.soak import Stressor
from kernelgate.static_rules import Site
from kernelgate.suites import CRASH_MODULE, HANDOVER_MODULE, PROBE_MODULE, Case, Suite
from kernelgate.topology import Boot, MachineSpec, Sign
from kernelgate.variant import Assertions, Variant, assertions, detect
from kernelgate.verdict import Complaint, Evidence, Verdict

T = TypeVar("T")

DEFAULT_SERIES = "frozen-bit-v4"

SUITE_SECONDS = 30.0
"""How long a KUnit suite may take, before the machine's patience (machine.PATIENCE) stretches it. The slowest takes
some 3 s in an emulated guest; a race that one side never wins gives up after 20 s."""

TRIGGER_SECONDS = 5.0
"""How long one crash trigger may take, stretched likewise; it takes milliseconds."""

PROGRAM_SECONDS = 20.0
"""How long one case of a program may take, stretched likewise."""

HANDOVER_SECONDS = 10.0
"""How long a kernel may take to load another one, stretched likewise."""

CONSOLE_LINES = 10
"""How much of the console is shown of a kernel that did not come up."""

SOAK_SLACK = 4
"""How many times longer than asked a stressor may take to begin and end, before the machine's patience."""

DECODED_SPLATS = 5
"""How many of a failure's splats get file and line, which takes seconds each; the first ones tell what it is."""

TOUCHED = "touched"
"""The fragment with which all files compile that the series touch."""

KCSAN = "/sys/kernel/debug/kcsan"
"""Where the detector of data races is switched on (kernel/kcsan/debugfs.c), of kernels that have it."""

SCAN = "/sys/kernel/debug/kg_probe/scan"
"""Where the probe says how many pages that have to look frozen do not: "bad 0" (kmod/kg_probe.c)."""

DIE_AT_ONCE = "echo 1 > /proc/sys/kernel/panic_on_oops"
"""An oops leaves locks held: better a guest that is dead at once than one that hangs by and by."""

FILTER = "/sys/module/kunit/parameters/filter_glob"
"""Which cases a module runs when it is loaded (lib/kunit/executor.c; writable since 6.6)."""


@dataclass(frozen=True)
class Options:
    """What the user asked for, by the names of pytest's options; root is the project's folder."""

    root: Path
    cache: Path
    results: Path
    base: str | None = None
    series: str | None = None
    upto: int | None = None
    kernel_builds: tuple[Path, ...] = ()
    append: str = ""
    accel: str = "auto"
    jobs: int | None = None
    decode: bool = True


@dataclass(frozen=True)
class Sources:
    """The tree under test: where it is, its exact version, and which rules its headers follow."""

    path: Path
    version: str
    variant: Variant


@dataclass(frozen=True)
class Booted:
    """A machine that has booted: its snapshot, and what the boot left behind."""

    snapshot: Snapshot
    evidence: Evidence
    verdict: Verdict


def steadied(work: Callable[[], T]) -> T:
    """What WORK returns, tried once more where the emulator or a busy host failed it.

    A kernel that brings the same thing about by itself does so again, and is then not passed.
    """
    try:
        return work()
    except PassingTrouble:
        return work()


def _scanned(guest: Guest, result: Result) -> Result:
    """RESULT, and after it what the probe in GUEST says of all pages."""
    return replace(result, stdout=f"{result.stdout}\n# {SCAN}: {guest.read(SCAN)}")


def configured_as(kernel: Kernel) -> str:
    """The configuration that a manifest would name for KERNEL.

    One built elsewhere, or put together of fragments, has the known defects of those like it: DEBUG_VM decides.
    """
    if kernel.config != AS_FOUND and "+" not in kernel.config:
        return kernel.config
    return DEFAULT_CONFIG if kernel.has("DEBUG_VM") else "production"


def layout(guest: Guest, spec: MachineSpec, numa: bool = True) -> list[tuple[str, str, str]]:
    """What SPEC asks for and what the guest's kernel found: CPUs, each node's CPUs and memory, the signs of devices.

    A kernel without NUMA shows no node; that is as asked for where there is but one.
    """
    wanted = [("CPUs online", _cpus(0, spec.cpus), _shown(guest, "/sys/devices/system/cpu/online"))]
    first = 0
    for number, node in enumerate(spec.nodes if numa or len(spec.nodes) > 1 else ()):
        place = f"/sys/devices/system/node/node{number}"
        wanted.append((f"CPUs of node {number}", _cpus(first, node.cpus), _shown(guest, f"{place}/cpulist")))
        kilobytes = re.search(r"MemTotal:\s+(\d+)", _shown(guest, f"{place}/meminfo"))
        found = "some" if kilobytes and int(kilobytes[1]) else "none"
        wanted.append((f"memory of node {number}", "some" if node.memory else "none", found))
        first += node.cpus
    return wanted + [(sign.what, sign.value, _found(guest, sign)) for sign in spec.signs]


def _cpus(first: int, count: int) -> str:
    """COUNT CPUs from FIRST on, as sysfs lists them (bitmap_print_to_pagebuf())."""
    return f"{first}-{first + count - 1}" if count > 1 else str(first) if count else ""


def _written(word: str, path: str) -> str:
    """The shell's words that write WORD to PATH where that can be written."""
    return f"{{ ! [ -w {path} ] || printf %s {word} > {path}; }}"


def _shown(guest: Guest, path: str) -> str:
    """What GUEST has in the file PATH; "no such file" where it has none."""
    result = guest.run(["cat", path])
    return "no such file" if result.status else result.stdout.strip()


def _found(guest: Guest, sign: Sign) -> str:
    """What GUEST shows where SIGN is looked for: "nothing" where there is no such file or line."""
    match = re.search(sign.pattern, guest.run(["cat", sign.path]).stdout, re.MULTILINE)
    return match[match.lastindex or 0] if match else "nothing"


def _titles(guest: Guest) -> list[str]:
    """What GUEST's kernel has complained of so far."""
    return [splat.title for splat in dmesg.splats(dmesg.parse_kmsg(guest.kmsg()))]


class Gate:
    """One run of the pipeline; a context manager that ends its guests and removes its scratch folder."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.cache = Cache(options.cache)
        self._kernels: dict[Flavour, Kernel | BuildError] = {}
        self._modules: dict[Flavour, dict[str, KernelModule]] = {}
        self._programs: dict[str, dict[str, Path]] = {}
        self._initramfs: dict[tuple[str, str], Path] = {}
        self._accels: dict[Flavour, str] = {}
        self._booted: dict[Target, Booted | KernelgateError] = {}
        self._booting = threading.Lock()
        self._following: dict[Target, Target] = {}
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="boot")
        self._guests = Reserve(self._restored)
        self._suites: dict[tuple[Target, str], dict[str, Verdict]] = {}
        self._kernel_tests_made: dict[Flavour, dict[str, Path]] = {}
        self._told: dict[tuple[Target, str], tuple[Evidence, dict[str, str]]] = {}
        self._decoders: dict[Flavour, Decoder] = {}
        self._patched: series.PatchedTree | None = None
        self._stack = ExitStack()
        self._scratch = Path()
        self._key: Key | None = None

    def __enter__(self) -> Gate:
        self._scratch = self._stack.enter_context(scratch.folder())
        self._key = make_key(self._scratch)
        self._stack.callback(self._guests.close)
        self._stack.callback(self._ahead.shutdown, cancel_futures=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # From a base and a series to kernels and images.

    def to_build(self, flavours: Iterable[Flavour], report: Report) -> list[Flavour]:
        """Those of FLAVOURS whose kernel is not in the cache; fetches and patches what they are built from."""
        kernels = sorted(flavour for flavour in flavours if flavour != SOURCES.flavour)
        if self._existing or not kernels:
            return []
        return [which for which in kernels if not build.is_built(self._order(which, report))]

    def prepare(self, flavours: Iterable[Flavour], report: Report) -> None:
        """Make kernels, modules and images of FLAVOURS.

        A kernel that does not build is remembered and raised for whoever asks for it, so
        that the other ones are still judged; all other errors are raised here.
        """
        for flavour in sorted(flavours):
            if flavour == SOURCES.flavour:
                self.sources(report)
                continue
            try:
                self._kernels[flavour] = self._make_kernel(flavour, report)
            except BuildError as error:
                self._kernels[flavour] = error
                continue
            kmod = self.options.root / "kmod"
            self._modules[flavour] = build.build_modules(self.kernel(flavour), kmod, self.cache, report)
            if flavour.arch not in self._programs:
                image.make(flavour.arch, self.cache, report)
                folder = self.options.root / suites.PROGRAMS
                self._programs[flavour.arch] = programs.build(flavour.arch, folder, self.cache, report)

    def prepare_images(self, targets: Iterable[Target], report: Report) -> None:
        """Make the images of those machines of TARGETS that have more in them than the others."""
        for target in sorted(set(targets) - {SOURCES}, key=str):
            if topology.find(target.arch, target.machine).image:
                self._image(target, report)

    def _image(self, target: Target, report: Report = silent) -> Path:
        return image.make(target.arch, self.cache, report, topology.find(target.arch, target.machine).image)

    def sources(self, report: Report = silent) -> Sources:
        """The tree under test, patched if it is not yet; of kernels built elsewhere, the tree of the first."""
        if self._existing:
            kernel = self._existing[0]
            return Sources(kernel.source_dir, kernel.version, kernel.variant)
        tree = self._tree(report)
        return Sources(tree.path, tree.version, detect(tree.path))

    def kernel(self, flavour: Flavour) -> Kernel:
        """The kernel of FLAVOUR; raises BuildError, in one line, when it did not build: headline() has the rest."""
        made = self._kernels[flavour]
        if isinstance(made, BuildError):
            raise BuildError(str(made).splitlines()[0])
        return made

    def _modules_of(self, flavour: Flavour) -> dict[str, KernelModule]:
        """The test modules for FLAVOUR by name; raises BuildError where its kernel did not build."""
        if flavour not in self._modules:
            self.kernel(flavour)
        return self._modules[flavour]

    def _make_kernel(self, flavour: Flavour, report: Report) -> Kernel:
        for kernel in self._existing:
            if kernel.arch == flavour.arch:
                return kernel
        return build.build(self._order(flavour, report))

    def _order(self, flavour: Flavour, report: Report) -> Order:
        return Order(self._tree(report), flavour.arch, flavour.config, self.cache, self.options.jobs, report)

    @functools.cached_property
    def _existing(self) -> tuple[Kernel, ...]:
        return tuple(build.existing(folder) for folder in self.options.kernel_builds)

    def _tree(self, report: Report) -> series.PatchedTree:
        if self._patched is None:
            self._patched = self._patch(report)
        return self._patched

    def _patch(self, report: Report) -> series.PatchedTree:
        return self._level(self.options.upto, report)

    def _level(self, upto: int | None, report: Report) -> series.PatchedTree:
        """The tree with the first UPTO patches, all for None."""
        options = self.options
        name = options.series or DEFAULT_SERIES
        pristine = series.pristine(name, options.base, options.root, self.cache, report)
        chosen = series.load(name, pristine.version, upto, options.root)
        return series.apply(chosen, pristine, self.cache, report)

    # What a person is told of it.

    def label(self, flavour: Flavour) -> str:
        """A short name of the kernel of FLAVOUR, e.g. "7.2.13-1 arm64 debug_vm"."""
        if flavour == SOURCES.flavour:
            return f"{self.sources().version} sources"
        kernel = self._kernels[flavour]
        if isinstance(kernel, BuildError):
            return f"{flavour}: not built"
        return f"{kernel.version} {flavour}"

    def headline(self) -> str:
        """What was judged: series, patch level, exact version, what each kernel is."""
        lines = [f"{self._subject()}"]
        lines += [
            f"  {flavour}: {kernel.release}, {kernel.variant.value}, build id {kernel.build_id[:12]}, "
            f"{self._accels.get(flavour, 'not booted')}"
            for flavour, kernel in self._kernels.items()
            if isinstance(kernel, Kernel)
        ]
        lines += [f"{error}" for error in self._kernels.values() if isinstance(error, BuildError)]
        return "\n".join(lines)

    def _subject(self) -> str:
        if self._existing:
            return "kernel built elsewhere: " + " ".join(str(kernel.build_dir) for kernel in self._existing)
        tree = self._tree(silent)
        part = f"the first {tree.series.level} of {tree.series.total} patches" if tree.series.total else "no patches"
        if tree.series.level == tree.series.total and tree.series.total:
            part = f"all {tree.series.total} patches"
        return f"series {tree.series.name} ({part}) on {tree.version}, commit {tree.commit[:12]}"

    def known_defect(self, flavour: Flavour, case: str, claim: str) -> KnownDefect | None:
        """The defect of which CLAIM of CASE must fail on the kernel of FLAVOUR."""
        for defect in self._defects(flavour):
            if case in defect.cases and (not defect.tests or claim in defect.tests) and not defect.spreads:
                return defect
        return None

    def spread_defect(self, flavour: Flavour, explanation: str) -> KnownDefect | None:
        """The defect that shows itself in EXPLANATION, in a case that need not fail of it."""
        for defect in self._defects(flavour):
            if defect.spreads and defect.shows_in(explanation):
                return defect
        return None

    def to_show(self, flavour: Flavour) -> tuple[KnownDefect, ...]:
        """The defects that spread, and that a run on the kernel of FLAVOUR has to show somewhere."""
        return tuple(defect for defect in self._defects(flavour) if defect.must_show)

    def _defects(self, flavour: Flavour) -> tuple[KnownDefect, ...]:
        judged = self.sources() if flavour == SOURCES.flavour else self.kernel(flavour)
        manifest, level = self._expectations(judged.variant)
        base = ".".join(judged.version.split(".")[:2])
        arch, config = (judged.arch, configured_as(judged)) if isinstance(judged, Kernel) else ("", "")
        known = manifest.known_defects if manifest else ()
        return tuple(defect for defect in known if defect.holds(level, base, arch, config))

    def _expectations(self, variant: Variant) -> tuple[Manifest | None, int]:
        """Whose known defects apply to a tree of VARIANT, and how many of its patches count as applied.

        A tree that was given with the series in it is known by its headers; one whose series
        leaves the rules as they are, by what was asked for.
        """
        if self._manifest and self._manifest.variant is Variant.UNPATCHED:
            return self._manifest, sys.maxsize if self.options.upto is None else self.options.upto
        levels = {Variant.UNPATCHED: 0, Variant.ASSERTS: 1, Variant.FROZEN_BIT: sys.maxsize}
        return self._manifest, levels[variant]

    @functools.cached_property
    def _manifest(self) -> Manifest | None:
        """The manifest that tells of known defects, read once a run: that of the series, or of the default one."""
        name = self.options.series
        return series.manifest(name if name and name != series.NONE else DEFAULT_SERIES, self.options.root)

    # Guests.

    def foresee(self, targets: Iterable[Target]) -> None:
        """Say in which order machines will be asked for: each is booted while the one before it is at work."""
        self._following = dict(pairwise(target for target in targets if target != SOURCES))

    def guest(self, target: Target) -> AbstractContextManager[Guest]:
        """A pristine guest of TARGET, restored from the snapshot of its boot."""
        return self._guests.take(target)

    @contextmanager
    def _restored(self, target: Target) -> Iterator[Guest]:
        booted = self._boot(target)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            with machine.restore(booted.snapshot, Path(folder) / "guest") as running:
                with connect(running, self._the_key) as guest:
                    yield guest

    def booted(self, target: Target) -> Verdict:
        """The verdict on the boot of TARGET; where it failed, its reasons end with the last lines of the console."""
        lost = self._lost(target)
        if lost is None:
            return self._boot(target).verdict
        if lost.skipped:
            return lost
        last = lost.evidence.console.rstrip().splitlines()[-CONSOLE_LINES:] or ["it printed nothing on its console"]
        return verdict.conclude([*lost.reasons, *(f"  | {line}" for line in last)], lost.evidence)

    def _lost(self, target: Target) -> Verdict | None:
        """The verdict on whatever was to run on TARGET, if its kernel did not come up or is none for that machine."""
        if missing := self._missing(target):
            options = ", ".join(missing)
            return verdict.skip(
                f"machine '{target.machine}' is for a kernel with {options}: choose another --base or --config"
            )
        try:
            self._boot(target)
        except GuestDied as death:
            evidence = Evidence("boot", death=f"{target} does not boot: {death.reason}", console=death.console)
            return verdict.conclude([evidence.death], evidence)
        return None

    def _missing(self, target: Target) -> list[str]:
        """The options that the machine of TARGET is of no use without, and its kernel has not."""
        kernel, needs = self.kernel(target.flavour), topology.find(target.arch, target.machine).needs
        return [f"CONFIG_{option}" for option in needs if not kernel.has(option)]

    def _boot(self, target: Target) -> Booted:
        """Boot TARGET once; a machine that did not come up is not tried again for each of its tests."""
        booted = self._boot_once(target)
        if following := self._following.pop(target, None):
            self._ahead.submit(self._boot_ahead, following)
        if isinstance(booted, KernelgateError):
            raise booted
        return booted

    def _boot_ahead(self, target: Target) -> None:
        if not self._missing(target):
            self._boot_once(target)

    def _boot_once(self, target: Target) -> Booted | KernelgateError:
        if target in self._booted:
            return self._booted[target]
        with self._booting:
            if target not in self._booted:
                try:
                    self._booted[target] = steadied(lambda: self._boot_now(target))
                except KernelgateError as error:
                    self._booted[target] = error
        return self._booted[target]

    def boot_and_answer(self, target: Target) -> None:
        """Boot TARGET from nothing until it answers one command, and end it."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            with machine.boot(self._boot_of(target), Path(folder) / "boot") as running:
                with connect(running, self._the_key) as guest:
                    guest.run(["true"], check=True)

    def restore_and_answer(self, target: Target) -> None:
        """Restore TARGET from the snapshot of its boot until it answers one command, and end it; none is in reserve."""
        with self._restored(target) as guest:
            guest.run(["true"], check=True)

    def attach(self, target: Target) -> int:
        """Boot TARGET on this process's terminal, with /modules and /programs; returns QEMU's exit status."""
        modules = {
            f"modules/{made.path.name}": made.path.read_bytes() for made in self._modules[target.flavour].values()
        }
        tools = {f"programs/{name}": path.read_bytes() for name, path in self._programs[target.arch].items()}
        what = self._boot_of(target)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            initramfs = image.with_files(what.initramfs, modules | tools, Path(folder) / "initramfs", 0o700)
            return machine.attach(replace(what, initramfs=initramfs), Path(folder) / "guest")

    def _boot_of(self, target: Target) -> Boot:
        kernel, spec = self.kernel(target.flavour), topology.find(target.arch, target.machine)
        what = (target.arch, spec.image)
        if what not in self._initramfs:
            path = self._scratch / "-".join(("initramfs", *what))
            self._initramfs[what] = image.with_key(self._image(target), self._the_key.public, path)
        initramfs = self._initramfs[what]
        accel = accelerator.choose(kernel, spec, initramfs, self.options.accel, self.cache)
        self._accels[target.flavour] = accel
        return Boot(kernel, spec, initramfs, accel, self.options.append)

    def _identity(self, guest: Guest, target: Target) -> list[tuple[str, str, str]]:
        """What must be true of the kernel that answered: it is the one just built (promise 3)."""
        kernel = self.kernel(target.flavour)
        return [("release", kernel.release, guest.release()), ("build id", kernel.build_id, guest.build_id())]

    @property
    def _the_key(self) -> Key:
        assert self._key is not None, "a Gate is used inside its context"
        return self._key

    def _boot_now(self, target: Target) -> Booted:
        folder = Path(tempfile.mkdtemp(prefix=f"{target.arch}-{target.machine}-", dir=self._scratch))
        what = self._boot_of(target)
        with machine.boot(what, folder / "boot") as running:
            before = self._hand_over(target, running) if what.spec.kexec else []
            with connect(running, self._the_key) as guest:
                log, taint = guest.kmsg_and_taint()
                evidence = Evidence(
                    command="boot",
                    status=0,
                    records=dmesg.parse_kmsg(log),
                    console=running.console(),
                    taint_after=taint,
                )
                wanted = before + self._identity(guest, target) + layout(guest, what.spec, what.kernel.has("NUMA"))
                judgement = verdict.judge_boot(evidence, wanted)
            snapshot = running.snapshot(folder / "snapshot")
        return Booted(snapshot, evidence, judgement)

    def _hand_over(self, target: Target, running: Machine) -> list[tuple[str, str, str]]:
        """Have the kernel of RUNNING leave pages to another of its kind and start it; what must be true of the first.

        Raises InfrastructureError where the guest has no room or refuses, and what Machine.next_kernel() raises.
        """
        kernel, parameters = running.boot.kernel, running.boot.parameters
        with connect(running, self._the_key) as guest:
            guest.put(kernel.image, "/tmp/kernel")
            guest.put(running.boot.initramfs, "/tmp/initramfs")
            saved = guest.insmod(self._modules[target.flavour][HANDOVER_MODULE].path, "save=1")
            first = [("status of saving pages", "0", str(saved.status))]
            first.append(("complaints of the kernel before", "[]", str(_titles(guest))))
            start = ["kexec", "/tmp/kernel", "/tmp/initramfs", parameters]
            running.next_kernel(lambda: guest.run(start, HANDOVER_SECONDS, check=True))
        return first

    # Verdicts.

    def static(self, rule: str) -> Verdict:
        """The verdict on the static rule RULE, e.g. "S-01"."""
        sources, wanted = self.sources(), static_rules.RULES[rule]
        reason = static_rules.silent(wanted, sources.variant, self._assertions(sources.path))
        findings = [] if reason else static_rules.broken(rule, sources.path, sources.variant, sources.version)
        return verdict.judge_sources(f"{rule} on {sources.path}", [str(finding) for finding in findings], reason)

    def commits(self, report: Report = silent) -> Verdict:
        """The verdict on whether what the series touches compiles after each of its patches (S-10).

        Raises InfrastructureError for a file that does not compile without any of them.
        """
        patches = () if self._existing else self._tree(report).series.patches
        if not patches:
            return verdict.judge_sources("S-10", (), "there is no patch to compile: run with --series frozen-bit-v4")
        pristine = Order(
            self._level(0, report), "x86_64", f"{DEFAULT_CONFIG}+{TOUCHED}", self.cache, self.options.jobs, report
        )
        touched = {name for patch in patches for name in patch.files if name.endswith(".c")}
        files = sorted(name for name in touched if (pristine.tree.path / name).is_file())
        before = build.compile_files(pristine, files)
        if before.failed:
            raise InfrastructureError(f"S-10: {' '.join(before.failed)}: not to be compiled without any patch either")
        findings = []
        for level, patch in enumerate(patches, 1):
            after = build.compile_files(replace(pristine, tree=self._level(level, report)), files)
            findings += [f"{patch}: {line}" for line in after.worse_than(before)]
            before = after
        return verdict.judge_sources(f"compile {' '.join(files)}", findings, None)

    def static_site(self, site: Site) -> Verdict:
        """The verdict on one place that the series has to convert (S-09)."""
        sources = self.sources()
        reason = static_rules.silent_site(site, sources.variant, sources.version)
        findings = [] if reason else static_rules.unconverted(sources.path, site)
        return verdict.judge_sources(f"{site.name} in {sources.path}", [str(finding) for finding in findings], reason)

    def kunit(self, target: Target, module: str, case: Case, alone: bool) -> Verdict:
        """The verdict on one KUnit case of MODULE.

        The suite runs once in a pristine guest, and cases that passed before the first
        sign of trouble keep that verdict; any other is judged again in a pristine guest
        of its own, so that no case is red for what another one broke. ALONE skips the
        common run, for a case whose neighbours nobody asked for. Skipped is what cannot be
        built for a kernel as kmod/Kbuild has it.
        """
        if module not in self._modules_of(target.flavour):
            remedy = "run with --base 7.2" if target.config == DEFAULT_CONFIG else f"run with --config {DEFAULT_CONFIG}"
            reason = f"{module} needs what this kernel is built without (kmod/Kbuild): {remedy}"
            return verdict.skip(reason)
        if lost := self._lost(target):
            return lost
        suite = self._known_suites[module]
        if not alone:
            key = (target, module)
            if key not in self._suites:
                self._suites[key] = verdict.proven(self._run_suite(target, suite, "*"), suite.name)
            if case.name in self._suites[key]:
                return self._suites[key][case.name]
        return verdict.judge_case(self._run_suite(target, suite, case.name), suite.name, case.name)

    @functools.cached_property
    def _known_suites(self) -> dict[str, Suite]:
        """What kmod/ holds, read once a run."""
        return suites.suites(self.options.root / "kmod")

    def _run_suite(self, target: Target, suite: Suite, cases: str) -> Evidence:
        """Load SUITE's module with the cases that match the glob CASES."""
        return steadied(lambda: self._run_suite_once(target, suite, cases))

    def _run_suite_once(self, target: Target, suite: Suite, cases: str) -> Evidence:
        path = self._modules[target.flavour][suite.module].path
        with self.guest(target) as guest:

            def work() -> Result:
                glob = f"{suite.name}.{cases}"
                guest.shell(f"{_written(shlex.quote(glob), FILTER)} && {_written('on', KCSAN)}", check=True)
                return guest.insmod(path, timeout=SUITE_SECONDS)

            return self._observe(target, guest, f"insmod {path.name} ({cases})", work)

    def trigger(
        self, target: Target, trigger: Case, wanted: Sequence[Complaint], modes: Sequence[str] = ("trigger",)
    ) -> Verdict:
        """The verdict on one crash trigger: silent on a legal page, then the complaints WANTED and no others.

        Of those only what the kernel's variant and configuration have checks for; where that is
        none, it must survive. It is pulled in each of MODES, each time in a pristine guest, since
        some checks complain but once.
        """
        return self._lost(target) or steadied(lambda: self._trigger_once(target, trigger, wanted, modes))

    def _trigger_once(
        self, target: Target, trigger: Case, wanted: Sequence[Complaint], modes: Sequence[str]
    ) -> Verdict:
        kernel, said = self.kernel(target.flavour), f"{CRASH_MODULE}: {trigger.name}"
        checks, line_of = self._checks(kernel, wanted), functools.partial(decode.source_line, kernel.source_dir)
        judged = Verdict()
        for mode in modes:
            with self._crash_guest(target) as guest:
                if mode == modes[0] and (failed := self._control(target, guest, trigger, said)):
                    return failed
                pulled = self._pull(target, guest, trigger, mode)
            reasons = verdict.judge_trigger(pulled, checks, f"{said} {mode} survived", line_of)
            judged = verdict.conclude([f"{mode}: {reason}" for reason in reasons], pulled)
            if not judged.passed:
                break
        return judged

    def _control(self, target: Target, guest: Guest, trigger: Case, said: str) -> Verdict | None:
        """The verdict on TRIGGER where it has nothing to try on this kernel, or is not silent on a legal page."""
        control = self._pull(target, guest, trigger, "control")
        if why := verdict.skip_reason(control, f"{said} skipped:"):
            return verdict.skipped(why, control)
        if reasons := verdict.judge_survival(control, f"{said} control survived"):
            return verdict.conclude([f"control: {reason}" for reason in reasons], control)
        return None

    def page_dump(self, target: Target, trigger: Case, reason: str, words: Mapping[str, Sequence[str]]) -> Verdict:
        """The verdict on a trigger that dumps a page for REASON; WORDS are what the dump says in each mode."""
        return self._lost(target) or steadied(lambda: self._page_dump_once(target, trigger, reason, words))

    def _page_dump_once(
        self, target: Target, trigger: Case, reason: str, words: Mapping[str, Sequence[str]]
    ) -> Verdict:
        reasons: list[str] = []
        pulled = Evidence("")
        for mode, wanted in words.items():
            with self._crash_guest(target) as guest:
                pulled = self._pull(target, guest, trigger, mode)
            said = f"{CRASH_MODULE}: {trigger.name} {mode} survived"
            reasons += [f"{mode}: {why}" for why in verdict.judge_dump(pulled, reason, wanted, said)]
        return verdict.conclude(reasons, pulled)

    @contextmanager
    def _crash_guest(self, target: Target) -> Iterator[Guest]:
        with self.guest(target) as guest:
            guest.insmod(self._modules[target.flavour][CRASH_MODULE].path)
            yield guest

    def _checks(self, kernel: Kernel, wanted: Sequence[Complaint]) -> list[Complaint]:
        """What of WANTED the kernel has checks for."""
        form, debug_vm = self._assertions(kernel.source_dir), kernel.has("DEBUG_VM")
        return [check for check in wanted if check.holds(kernel.variant, form, debug_vm)]

    def _assertions(self, tree: Path) -> Assertions:
        """What the series' assertions do in the kernel of TREE.

        All of a series does what its manifest says, so that one which has lost them is noticed. Part of a
        series, or a tree that was given, is known by its header.
        """
        applied = None if self._existing else self._tree(silent).series
        if applied and applied.manifest and applied.level == applied.total:
            return applied.manifest.assertions
        return assertions(tree)

    def _pull(self, target: Target, guest: Guest, trigger: Case, how: str) -> Evidence:
        line = f"{DIE_AT_ONCE}; echo {how} > /sys/kernel/debug/{CRASH_MODULE}/{trigger.name}"
        return self._observe(target, guest, line, lambda: guest.run(["sh", "-c", line], TRIGGER_SECONDS))

    def program(
        self, target: Target, name: str, case: Case, before: Callable[[Machine], None] = lambda running: None
    ) -> Verdict:
        """The verdict on one case of the program NAME of images/programs/, in a pristine guest of its own.

        BEFORE does to the guest's machine what has to be done from outside; the program sees to what comes of it.
        """
        return self._lost(target) or steadied(lambda: self._program_once(target, name, case, before))

    def _program_once(self, target: Target, name: str, case: Case, before: Callable[[Machine], None]) -> Verdict:
        probe, path = self._modules[target.flavour][PROBE_MODULE].path, self._programs[target.arch][name]
        with self.guest(target) as guest:

            def work() -> Result:
                guest.shell(DIE_AT_ONCE, check=True)
                loaded = guest.insmod(probe)
                if loaded.status:
                    return loaded
                guest.put(path, f"/tmp/{name}")
                before(guest.machine)
                return guest.run([f"/tmp/{name}", case.name], PROGRAM_SECONDS)

            return verdict.judge_program(self._observe(target, guest, f"{name} {case.name}", work), case.name)

    def recorded(self, target: Target, sub: SubTest) -> Verdict:
        """The verdict on one sub-test of the kernel's own tests: whether it does what it does without a series.

        Its test runs once on TARGET, in a pristine guest. Skipped is what nobody has recorded of this base, or of
        a kernel with these options, of which many a sub-test wants one.
        """
        wanted = self._kernel_tests[sub.test].config
        if target.config != wanted:
            return verdict.skip(f"{sub.test} is recorded of another configuration: run with --config {wanted}")
        kernel = self.kernel(target.flavour)
        base = ".".join(kernel.version.split(".")[:2])
        recorded = kernel_tests.baseline(self.options.root / kernel_tests.BASELINES, base, kernel.arch).get(sub.test)
        if recorded is None:
            return verdict.skip(f"{sub.test} is not recorded of {base} {kernel.arch}: run scripts/baseline")
        if sub.line not in recorded:
            return verdict.skip(
                f"{sub.test} of {base} {kernel.arch} has no such sub-test: run with the other --arch, or another --base"
            )
        if lost := self._lost(target):
            return lost
        return verdict.judge_recorded(*self.run_kernel_test(target, sub.test), sub.line, recorded)

    def run_kernel_test(self, target: Target, name: str) -> tuple[Evidence, dict[str, str]]:
        """What the kernel's own test NAME leaves on TARGET, and what it tells of its sub-tests.

        Raises UserError where the tree has no such test, InfrastructureError where it does not build.
        """
        key = (target, name)
        if key not in self._told:
            test = self._kernel_tests[name]
            evidence = steadied(lambda: self._kernel_test_once(target, test))
            self._told[key] = evidence, verdict.told(evidence, name, test.says, bool(test.module))
        return self._told[key]

    @functools.cached_property
    def _kernel_tests(self) -> dict[str, kernel_tests.Test]:
        return kernel_tests.read(self.options.root / kernel_tests.FILE)

    def prepare_kernel_tests(self, flavour: Flavour, report: Report) -> dict[str, Path]:
        """The kernel's own tests for FLAVOUR, built where they are not in the cache: those that its tree has.

        None where the kernel did not build, which each of its tests is told.
        """
        if isinstance(self._kernels[flavour], BuildError):
            return {}
        if flavour not in self._kernel_tests_made:
            kernel, tests = self.kernel(flavour), self._kernel_tests.values()
            modules = kernel_tests.build_modules(kernel, tests, self.cache, report)
            programs_made = kernel_tests.build_programs(kernel, tests, self.cache, report)
            self._kernel_tests_made[flavour] = modules | programs_made
        return self._kernel_tests_made[flavour]

    def _kernel_test_once(self, target: Target, test: kernel_tests.Test) -> Evidence:
        """Run TEST in a guest; whatever it left behind, the pages that nobody owns have to look frozen (INV-01)."""
        made = self.prepare_kernel_tests(target.flavour, silent)
        if test.name not in made:
            raise UserError(f"the tree of {self.label(target.flavour)} has no {test.name}: choose another --base")
        probe = self._modules[target.flavour][PROBE_MODULE].path
        with self.guest(target) as guest:

            def work() -> Result:
                guest.insmod(probe)
                guest.shell(test.prepare or "true", check=True)
                if test.before:
                    guest.insmod(made[Path(test.before).stem])
                if test.module:
                    result = guest.insmod(made[test.name], *shlex.split(test.arguments), timeout=test.seconds)
                    guest.shell(test.after or "true", test.seconds, check=True)
                else:
                    guest.put(made[test.name], f"/tmp/{test.name}")
                    result = guest.shell(f"cd /tmp && ./{test.name} {test.arguments}", test.seconds)
                return _scanned(guest, result)

            return self._observe(target, guest, f"{test.name} {test.arguments}".strip(), work)

    def soak(self, target: Target, stressor: Stressor, seconds: int) -> Verdict:
        """The verdict on STRESSOR, of stress-ng, that works on memory for SECONDS in a pristine guest."""
        return self._lost(target) or steadied(lambda: self._soak_once(target, stressor, seconds))

    def _soak_once(self, target: Target, stressor: Stressor, seconds: int) -> Verdict:
        probe, line = self._modules[target.flavour][PROBE_MODULE].path, stressor.line(seconds)
        with self.guest(target) as guest:

            def work() -> Result:
                guest.shell(DIE_AT_ONCE, check=True)
                guest.insmod(probe)
                guest.shell(stressor.prepare, check=True)
                result = guest.shell(line, SOAK_SLACK * seconds)
                return _scanned(guest, result)

            return verdict.judge_soak(self._observe(target, guest, line, work), stressor.name)

    def _observe(self, target: Target, guest: Guest, command: str, work: Callable[[], Result]) -> Evidence:
        """Do WORK in GUEST and collect what it leaves, death included."""
        before = self._boot(target).evidence
        evidence = Evidence(command, first=before.records[-1].seq + 1, taint_before=before.taint_after or 0)
        try:
            result = work()
            guest.machine.check()
            log, taint = guest.kmsg_and_taint(evidence.first)
        except GuestDied as death:
            return replace(evidence, death=death.reason, console=death.console)
        return replace(
            evidence,
            status=result.status,
            output=result.stdout + result.stderr,
            records=dmesg.parse_kmsg(log),
            console=guest.machine.console(),
            taint_after=taint,
        )

    # What a failure leaves.

    def keep(self, judged: Verdict, item: str, target: Target) -> Path:
        """Write down all that VERDICT rests on, and a script that does it again; returns the folder."""
        folder = self.options.results / re.sub(r"[^\w.=-]+", "_", item)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        failure.write(folder / failure.FILE, failure.of(judged))
        _write_script(folder / "replay.sh", self._replay(item, target))
        if target == SOURCES:
            (folder / "verdict.txt").write_text(f"{self.headline()}\n{item}\n{judged.explain()}\n")
            return folder
        kernel, evidence = self.kernel(target.flavour), judged.evidence
        reasons = decode.addresses(judged.explain(), kernel.vmlinux, kernel.arch)
        (folder / "verdict.txt").write_text(f"{self.headline()}\n{item}\n{reasons}\n")
        (folder / "console.log").write_text(evidence.console)
        (folder / "dmesg.log").write_text("".join(f"[{r.seconds:12.6f}] {r.text}\n" for r in evidence.records))
        for number, lines in enumerate(self._decoded(judged.splats, target) if self.options.decode else ()):
            (folder / f"splat-{number}.txt").write_text("\n".join(lines) + "\n")
        shutil.copyfile(kernel.config_file, folder / "config")
        _write_script(folder / "qemu.sh", self._by_hand(target))
        return folder

    def _decoded(self, splats: Sequence[Splat], target: Target) -> list[tuple[str, ...]]:
        """The lines of SPLATS, of the first ones with file and line."""
        if target.flavour not in self._decoders:
            kernel, modules = self.kernel(target.flavour), self._modules[target.flavour][CRASH_MODULE].path.parent
            self._decoders[target.flavour] = Decoder(kernel.vmlinux, kernel.source_dir, kernel.arch, modules)
        lines = [splat.lines for splat in splats]
        return self._decoders[target.flavour].decode(*lines[:DECODED_SPLATS]) + lines[DECODED_SPLATS:]

    def _by_hand(self, target: Target) -> str:
        """The guest without the gate: its console on the terminal, its memory in files of the folder."""
        boot = replace(self._boot_of(target), initramfs=self._image(target))
        argv = topology.qemu_argv(boot, Path("memory"), shared=True)
        tree = devicetree.script(boot, Path("memory"))
        return f"mkdir -p memory && {tree}exec {shlex.join([*argv, '-serial', 'mon:stdio'])}"

    def _replay(self, item: str, target: Target) -> str:
        options = self.options
        words = [] if target == SOURCES else [f"--arch={target.arch}", f"--machine={target.machine}"]
        words += [] if options.kernel_builds or target == SOURCES else [f"--config={target.config}"]
        words += [f"--cache={self.cache.root}", f"--accel={options.accel}"]
        words += [f"--kernel-build={folder.absolute()}" for folder in options.kernel_builds]
        values = {"base": options.base, "series": options.series, "upto": options.upto, "append": options.append}
        words += [f"--{name}={value}" for name, value in values.items() if value not in (None, "")]
        again = shlex.join(["scripts/run", *words, item])
        return f'cd {shlex.quote(str(options.root))} && exec {again} "$@"'


def _write_script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
