# SPDX-License-Identifier: GPL-2.0-only
"""Building: what is made once, what a kill or a failure leaves, what a folder made elsewhere must have.

The tree here is a few lines with a Makefile that has the kernel's targets; make, gcc and
ccache are the real ones. Real kernels are built by the gate itself.
"""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kernelgate import build as building
from kernelgate import kbuild
from kernelgate.build import Compiled, Kernel, Order, build, build_modules, compile_files, existing
from kernelgate.cache import Cache
from kernelgate.command import run
from kernelgate.errors import BuildError, InfrastructureError, UserError
from kernelgate.progress import Step, silent
from kernelgate.series import PatchedTree, Series
from kernelgate.variant import Variant

MAKEFILE = """\
VPATH := ..
obj-y := one.o two.o
tinyconfig:
	@echo CONFIG_X86_64=y > .config; ln -sfn .. source
	@echo include ../Makefile > Makefile; echo tinyconfig >> runs
olddefconfig: ; @sed -i /GONE/d .config
prepare: ;
vmlinux: $(obj-y)
	@$(CC) -nostdlib -static -Wl,--build-id=sha1 -Wl,-e0 -o $@ $^
	@mkdir -p include/config && echo 7.2.0 > include/config/kernel.release
%.o: ../%.c ; @echo "  CC      $@"; $(CC) -Wall -g $(KCFLAGS) -c $< -o $@
ifdef M
modules:
	@for c in $(M)/*.c; do $(CC) $(KCFLAGS) -c $$c -o $${c%.c}.ko || exit 1; done
else
modules: ; @touch Module.symvers
endif
"""
FILES = {
    "Makefile": MAKEFILE,
    "Kbuild": "",
    "Kconfig": 'config KEPT\n\tbool "Kept"\nconfig GONE\n\tbool "Gone"\n\tdepends on BLOCK\n',
    "mm/page_alloc.c": "",
    "one.c": "int one(void) { return 1; }\n",
    "two.c": "int two(void) { return 2; }\n",
    "include/linux/page_ref.h": "",
    "include/linux/page-flags.h": "",
    ".hidden": "",
}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    for name, text in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return PatchedTree(tmp_path / "tree", "c0ffee", "7.2", "7.2.13-1", Series("none", (), 0, None))


@pytest.fixture
def kconfigs(tmp_path: Path) -> Path:
    folder = tmp_path / "kconfigs"
    folder.mkdir()
    (folder / "configurations.toml").write_text('common = ["base"]\n[configurations.main]\nfragments = []\n')
    (folder / "base.config").write_text("CONFIG_KEPT=y\n")
    return folder


def make(tree: PatchedTree, cache: Cache, kconfigs: Path, steps: list[Step] | None = None) -> Kernel:
    report = silent if steps is None else steps.append
    return build(Order(tree, "x86_64", "main", cache, 2, report, kconfigs))


def runs(kernel: Kernel) -> int:
    return len((kernel.build_dir / "runs").read_text().split())


def test_a_kernel_names_what_was_built(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    kernel = make(tree, cache, kconfigs)
    assert kernel.image == kernel.vmlinux == kernel.build_dir / "vmlinux"
    assert (kernel.release, kernel.version, kernel.config) == ("7.2.0", "7.2.13-1", "main")
    assert kernel.variant is Variant.UNPATCHED
    assert "CONFIG_KEPT=y" in kernel.config_file.read_text()
    notes = run(["readelf", "-n", kernel.vmlinux]).stdout
    assert f"Build ID: {kernel.build_id}" in notes


def test_with_its_stamp_make_is_not_run_again(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    first = make(tree, cache, kconfigs)
    (tree.path / "Makefile").write_text("$(error make was run)")
    assert make(tree, cache, kconfigs) == first
    assert runs(first) == 1


def test_what_is_built_is_known_before(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    order = Order(tree, "x86_64", "main", cache, kconfigs=kconfigs)
    assert not building.is_built(order)
    kernel = make(tree, cache, kconfigs)
    assert building.is_built(order)
    assert not building.is_built(replace(order, tree=replace(tree, commit="another")))
    kernel.vmlinux.write_text("cut off")
    assert not building.is_built(order)


def test_a_build_that_was_killed_goes_on(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    first = make(tree, cache, kconfigs)
    (first.build_dir.parent / building.STAMP).unlink()
    (first.build_dir / "two.o").unlink()
    kept = (first.build_dir / "one.o").stat().st_mtime_ns
    again = make(tree, cache, kconfigs)
    assert again == first
    assert (first.build_dir / "one.o").stat().st_mtime_ns == kept
    assert runs(first) == 2


def compiled(tree: PatchedTree, cache: Cache, kconfigs: Path) -> Compiled:
    return compile_files(Order(tree, "x86_64", "main", cache, 2, silent, kconfigs), ("one.c", "two.c"))


def test_files_are_compiled_each_by_itself(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    assert compiled(tree, cache, kconfigs) == Compiled((), (), ())
    (tree.path / "one.c").write_text("int one(void) { return 1 }\n")
    broken = compiled(tree, cache, kconfigs)
    assert broken.failed == ("one.o",)
    assert any("error: expected ';'" in line for line in broken.errors)


def test_files_of_another_patch_level_are_compiled_though_they_are_old(
    tree: PatchedTree, cache: Cache, kconfigs: Path
) -> None:
    compiled(tree, cache, kconfigs)
    (tree.path / "two.c").write_text("int two(void) { int unused; return 2; }\n")
    os.utime(tree.path / "two.c", (0, 0))
    assert ["unused variable" in line for line in compiled(tree, cache, kconfigs).warnings] == [True]


def test_only_what_is_new_is_worse() -> None:
    before = Compiled(("a.o",), ("a.c:1:1: error: old",), ("b.c:10:2: warning: unused variable 'i'",))
    moved = Compiled(("a.o",), ("a.c:9:1: error: old",), ("b.c:11:2: warning: unused variable 'i'",))
    assert moved.worse_than(before) == []
    worse = Compiled(("a.o", "b.o"), ("b.c:3:1: error: new",), ("b.c:11:2: warning: unused variable 'j'",))
    assert worse.worse_than(before) == ["b.c:3:1: error: new", "b.c:11:2: warning: unused variable 'j'"]


@pytest.mark.parametrize("name", ["vmlinux", "Module.symvers"])
def test_a_build_that_lost_a_file_is_not_whole(tree: PatchedTree, cache: Cache, kconfigs: Path, name: str) -> None:
    first = make(tree, cache, kconfigs)
    (first.build_dir / name).unlink()
    make(tree, cache, kconfigs)
    assert (first.build_dir / name).exists()


def test_other_inputs_are_another_kernel(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    first = make(tree, cache, kconfigs)
    other_commit = make(replace(tree, commit="decade"), cache, kconfigs)
    (kconfigs / "base.config").write_text("CONFIG_KEPT=y\nCONFIG_EXTRA=y\n")
    (tree.path / "Kconfig").write_text('config KEPT\n\tbool "Kept"\nconfig EXTRA\n\tbool "Extra"\n')
    other_config = make(tree, cache, kconfigs)
    assert len({first.key, other_commit.key, other_config.key}) == 3


def test_objects_of_another_folder_come_from_ccache(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    make(tree, cache, kconfigs)
    elsewhere = tree.path.with_name("another")
    shutil.copytree(tree.path, elsewhere)
    environment = kbuild.environment(cache.root / "ccache" / "objects")
    run(["ccache", "--zero-stats"], env=environment)
    make(replace(tree, path=elsewhere, commit="decade"), cache, kconfigs)
    stats = dict(line.split("\t") for line in run(["ccache", "--print-stats"], env=environment).stdout.splitlines())
    assert int(stats["direct_cache_hit"]) + int(stats["preprocessed_cache_hit"]) == 2
    assert stats["cache_miss"] == "0"
    assert (cache.root / "ccache" / "objects" / "0").is_dir()


def test_the_tree_stays_as_it_is(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    kernel = make(tree, cache, kconfigs)
    assert {str(path.relative_to(tree.path)) for path in tree.path.rglob("*") if path.is_file()} == set(FILES)
    assert not (kernel.build_dir.parent / ".hidden").exists()


def test_progress_counts_objects_of_how_many(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    steps: list[Step] = []
    make(tree, cache, kconfigs, steps)
    guess = kbuild.TOOLCHAINS["x86_64"].objects
    counted = [step for step in steps if step.unit == "objects"]
    assert [(step.done, step.total) for step in counted] == [(1, guess), (2, guess)]
    make(replace(tree, commit="decade"), cache, kconfigs, steps)
    assert (steps[-1].done, steps[-1].total) == (2, 2)
    assert steps[-1].name == "build 7.2.13-1 x86_64 main"


def test_a_compile_error_is_the_compilers_own_lines(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    (tree.path / "two.c").write_text("int two(void) { return frozen; }\n")
    with pytest.raises(BuildError) as caught:
        make(tree, cache, kconfigs)
    lines = str(caught.value).splitlines()
    assert lines[0] == "build 7.2.13-1 x86_64 main: it does not compile"
    assert "../two.c:1:24: error: 'frozen' undeclared (first use in this function)" in lines
    assert any("return frozen;" in line for line in lines)
    log = Path(lines[-1].removeprefix("the whole log: "))
    assert "CC      two.o" in log.read_text()


def test_a_failed_build_is_not_taken_for_a_whole_one(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    (tree.path / "two.c").write_text("#error no\n")
    for _ in range(2):
        with pytest.raises(BuildError):
            make(tree, cache, kconfigs)


def test_a_broken_build_loses_its_stamp_first(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    out = make(tree, cache, kconfigs).build_dir
    (tree.path / "two.c").write_text("#error no\n")
    (out / "vmlinux").unlink()
    with pytest.raises(BuildError):
        make(tree, cache, kconfigs)
    assert not (out.parent / building.STAMP).exists()


def test_warnings_are_kept_with_the_build(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    (tree.path / "two.c").write_text("int two(void) { int x; return 2; }\n")
    expected = ("../two.c:1:21: warning: unused variable 'x' [-Wunused-variable]",)
    assert make(tree, cache, kconfigs).warnings == expected
    assert make(tree, cache, kconfigs).warnings == expected


def test_a_lost_option_ends_it_and_leaves_nothing(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    (kconfigs / "base.config").write_text("CONFIG_GONE=y\n")
    with pytest.raises(UserError, match=r"CONFIG_GONE=y \(kconfigs/base.config:1\) became n: it depends on BLOCK=n"):
        make(tree, cache, kconfigs)
    assert list(cache.root.glob("builds/*/out")) == []


def test_an_unknown_configuration_is_refused_at_once(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    with pytest.raises(UserError, match="unknown configuration or fragment 'mian': did you mean main"):
        build(Order(tree, "x86_64", "mian", cache, 2, silent, kconfigs))
    assert not (cache.root / "builds").exists()


def test_two_runs_at_once_build_once(tree: PatchedTree, cache: Cache, kconfigs: Path) -> None:
    found: list[Kernel] = []
    threads = [threading.Thread(target=lambda: found.append(make(tree, cache, kconfigs))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert runs(found[0]) == 1


def test_a_missing_program_names_its_package(
    tree: PatchedTree, cache: Cache, kconfigs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("setpriv", "make", "gcc", "ccache", "flex", "bison"):
        (programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(InfrastructureError, match="bc is not installed: apt install bc"):
        make(tree, cache, kconfigs)


MODULE = 'static const char a[] __attribute__((used)) = "vermagic={release} SMP preempt mod_unload ";\n'


@pytest.fixture
def kernel(tree: PatchedTree, cache: Cache, kconfigs: Path) -> Kernel:
    return make(tree, cache, kconfigs)


@pytest.mark.parametrize(
    ("options", "slowness"),
    [
        ("CONFIG_SMP=y\n# CONFIG_KASAN is not set\n", 1.0),
        ("CONFIG_KASAN=y\n", building.SLOWNESS["KASAN"]),
        ("CONFIG_KCSAN=y\nCONFIG_PROVE_LOCKING=y\n", building.SLOWNESS["KCSAN"]),
    ],
)
def test_an_instrumented_kernel_is_given_time(kernel: Kernel, tmp_path: Path, options: str, slowness: float) -> None:
    config = tmp_path / "config"
    config.write_text(options)
    found = replace(kernel, config_file=config)
    assert found.slowness == slowness
    assert found.has("SMP") is ("CONFIG_SMP=y" in options)


@pytest.fixture
def kmod(tmp_path: Path) -> Path:
    folder = tmp_path / "kmod"
    folder.mkdir()
    (folder / "Kbuild").write_text("obj-m += kg_one.o\n")
    (folder / "kg_one.c").write_text(MODULE.format(release="7.2.0"))
    (folder / "stray.o").write_text("no source")
    return folder


def test_modules_are_built_beside_their_sources(kernel: Kernel, kmod: Path, cache: Cache) -> None:
    modules = build_modules(kernel, kmod, cache, silent)
    assert set(modules) == {"kg_one"}
    assert modules["kg_one"].kernel_release == "7.2.0"
    assert modules["kg_one"].path.read_bytes()[:4] == b"\x7fELF"
    assert {path.name for path in kmod.iterdir()} == {"Kbuild", "kg_one.c", "stray.o"}
    kept = {path.name for path in modules["kg_one"].path.parent.iterdir()}
    assert kept == {"Kbuild", "kg_one.c", "kg_one.ko", ".used"}


def test_modules_are_built_once_for_a_kernel_and_their_sources(kernel: Kernel, kmod: Path, cache: Cache) -> None:
    first = build_modules(kernel, kmod, cache, silent)["kg_one"].path
    (kernel.build_dir.parent / "Makefile").unlink()
    assert build_modules(kernel, kmod, cache, silent)["kg_one"].path == first
    (kmod / "kg_one.c").write_text("// changed\n" + MODULE.format(release="7.2.0"))
    with pytest.raises(InfrastructureError):
        build_modules(kernel, kmod, cache, silent)


def test_a_module_that_does_not_compile_is_not_blamed_on_the_series(kernel: Kernel, kmod: Path, cache: Cache) -> None:
    (kmod / "kg_one.c").write_text("int f(void) { return gone; }\n")
    with pytest.raises(InfrastructureError) as caught:
        build_modules(kernel, kmod, cache, silent)
    assert str(caught.value).startswith(f"the test modules do not build on {kernel.build_dir}\n")
    assert "error: 'gone' undeclared" in str(caught.value)
    assert list(cache.root.glob("modules/*")) == []


def test_a_module_of_another_kernel_is_refused(kernel: Kernel, kmod: Path, cache: Cache) -> None:
    (kmod / "kg_one.c").write_text(MODULE.format(release="6.1.0"))
    with pytest.raises(InfrastructureError, match=r"kg_one.ko was built for 6.1.0, not 7.2.0"):
        build_modules(kernel, kmod, cache, silent)


@pytest.fixture
def foreign(kernel: Kernel) -> Path:
    """A build folder as somebody else may have it."""
    options = (*building.NEEDED, *building.NEEDED_BY_ARCH["x86_64"], "PVH", "X86_64")
    kernel.config_file.write_text("".join(f"CONFIG_{name}=y\n" for name in options))
    return kernel.build_dir


def test_a_folder_made_elsewhere_is_a_kernel(foreign: Path, kernel: Kernel, tree: PatchedTree) -> None:
    found = existing(foreign)
    assert (found.arch, found.release, found.build_id) == ("x86_64", "7.2.0", kernel.build_id)
    assert (found.image, found.source_dir) == (foreign / "vmlinux", foreign.parent)
    assert found.variant is Variant.UNPATCHED
    (tree.path / "include/linux/page_ref.h").write_text("#define PAGEREF_FROZEN_BIT 0x80000000\n")
    assert existing(foreign).variant is Variant.FROZEN_BIT


def test_without_pvh_the_compressed_image_is_booted(foreign: Path) -> None:
    config = foreign / ".config"
    config.write_text(config.read_text().replace("CONFIG_PVH=y\n", ""))
    with pytest.raises(UserError, match="has no arch/x86/boot/bzImage: make bzImage"):
        existing(foreign)
    image = foreign / "arch/x86/boot/bzImage"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    assert existing(foreign).image == image


@pytest.mark.parametrize("name", [".config", "vmlinux", "Module.symvers", "include/config/kernel.release"])
def test_a_folder_without_a_whole_build_is_refused(foreign: Path, name: str) -> None:
    (foreign / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}: name a folder in which a kernel"):
        existing(foreign)


def test_a_kernel_that_cannot_run_the_tests_is_refused(foreign: Path) -> None:
    config = foreign / ".config"
    config.write_text(config.read_text().replace("CONFIG_KUNIT=y", "CONFIG_KUNIT=m").replace("CONFIG_INET=y\n", ""))
    with pytest.raises(UserError, match="the tests need CONFIG_KUNIT=y CONFIG_INET=y"):
        existing(foreign)


def test_a_config_and_a_vmlinux_of_two_architectures_are_refused(foreign: Path) -> None:
    config = foreign / ".config"
    config.write_text(config.read_text().replace("CONFIG_X86_64=y", "CONFIG_ARM64=y"))
    with pytest.raises(UserError, match="not of one architecture"):
        existing(foreign)


def test_a_folder_whose_tree_is_gone_is_refused(foreign: Path) -> None:
    (foreign / "source").unlink()
    (foreign / "source").symlink_to("/nonexistent")
    with pytest.raises(UserError, match=r"kernel tree .* is not there"):
        existing(foreign)
