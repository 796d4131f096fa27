# SPDX-License-Identifier: GPL-2.0-only
"""The guest's image: what goes in, and that it is made anew exactly when the recipe changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kernelgate import image
from kernelgate.cache import Cache
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.image import RECIPE, fingerprint, libraries, make, recipe, with_files, with_key
from kernelgate.machine import NO_NETWORK, READY, SHELL
from kernelgate.progress import silent


def listing(archive: Path) -> list[str]:
    """What `cpio -tv` says of each member of the last archive in ARCHIVE."""
    verbose = ["cpio", "--list", "--verbose", "--quiet", "--numeric-uid-gid", f"--file={archive}"]
    return subprocess.run(verbose, check=True, capture_output=True, text=True).stdout.splitlines()


def test_recipe_names_the_release_and_three_programs() -> None:
    contents = recipe()
    assert contents.suites == ("bookworm", "bookworm-security")
    assert contents.programs == ("bin/busybox", "usr/sbin/dropbear", "sbin/mkfs.xfs")


def test_recipe_of_a_machine_adds_to_the_common_one() -> None:
    added, common = recipe(more="soak"), recipe()
    assert added.programs == (*common.programs, "usr/bin/stress-ng")
    assert added.packages == (*common.packages, "stress-ng") and added.files == common.files


def test_recipe_that_lacks_a_field_says_which(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('suites = ["bookworm"]\n')
    with pytest.raises(UserError, match=r"recipe.toml: 'packages'"):
        recipe(tmp_path)


def test_recipe_that_is_no_toml_is_told(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("suites = [\n")
    with pytest.raises(UserError, match=r"recipe.toml: Invalid value"):
        recipe(tmp_path)


def test_unknown_architecture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown architecture 'arm65': did you mean arm64"):
        make("arm65", Cache(tmp_path / "cache"), silent)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(RECIPE, tmp_path / "images")


def test_fingerprint_is_of_the_contents_and_not_of_times(copy: Path) -> None:
    before = fingerprint(RECIPE)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))
    assert fingerprint(copy) == before


def test_fingerprint_sees_a_new_name_a_new_mode_and_a_new_byte(copy: Path) -> None:
    seen = {fingerprint(copy)}
    (copy / "init").chmod(0o755)
    seen.add(fingerprint(copy))
    (copy / "programs" / "kmsg.c").rename(copy / "programs" / "log.c")
    seen.add(fingerprint(copy))
    (copy / "recipe.toml").write_text((copy / "recipe.toml").read_text() + "#")
    seen.add(fingerprint(copy))
    assert len(seen) == 4


def test_key_is_root_s_and_nobody_else_writes_it(tmp_path: Path) -> None:
    whole = tmp_path / "initramfs"
    whole.write_bytes(b"the first archive")
    umask = os.umask(0)
    try:
        keyed = with_key(whole, "ssh-ed25519 AAAA", tmp_path / "keyed")
    finally:
        os.umask(umask)
    segment = tmp_path / "segment"
    segment.write_bytes(keyed.read_bytes().removeprefix(b"the first archive"))
    (line,) = listing(segment)
    assert line.split()[:4] == ["-rw-------", "1", "0", "0"]
    assert line.endswith("root/.ssh/authorized_keys")
    assert b"ssh-ed25519 AAAA\n" in segment.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["initramfs", "keyed", "segment"]


def test_files_come_with_their_folder(tmp_path: Path) -> None:
    empty = tmp_path / "initramfs"
    empty.touch()
    made = with_files(empty, {"modules/a.ko": b"A", "modules/b.ko": b"B"}, tmp_path / "made")
    assert [line.split()[-1] for line in listing(made)] == ["modules", "modules/a.ko", "modules/b.ko"]


def build(folder: Path, name: str, *words: str) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-o", target, *words], check=True)
    return target


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A program that needs libone, which needs libtwo; nothing of it needs a C library."""
    folder, source = tmp_path / "packages", tmp_path / "empty.c"
    source.write_text("void _start(void) {}\nvoid one(void) {}\n")
    shared = ["-nostdlib", "-shared", "-fPIC", str(source)]
    two = build(folder, "usr/lib/x/libtwo.so.2", *shared, "-Wl,-soname,libtwo.so.2")
    needs_two = ["-Wl,-soname,libone.so.1", "-Wl,--no-as-needed", str(two)]
    one = build(folder, "lib/libone.so.1", *shared, *needs_two)
    loader = "-Wl,--dynamic-linker,/lib64/loader.so"
    build(folder, "bin/program", "-nostdlib", str(source), loader, "-Wl,--no-as-needed", str(one))
    (folder / "lib64").mkdir()
    (folder / "lib64/loader.so").touch()
    return folder


def test_libraries_are_followed_and_the_loader_stays_where_it_is_looked_for(packages: Path) -> None:
    assert libraries(packages, packages / "bin/program") == {
        packages / "lib64/loader.so": "lib64/loader.so",
        packages / "lib/libone.so.1": "lib/libone.so.1",
        packages / "usr/lib/x/libtwo.so.2": "lib/libtwo.so.2",
    }


def test_library_of_no_package_is_named(packages: Path) -> None:
    (packages / "usr/lib/x/libtwo.so.2").unlink()
    with pytest.raises(InfrastructureError, match=r"lack the library libtwo.so.2"):
        libraries(packages, packages / "bin/program")


def test_init_is_a_script_and_says_the_words_that_are_waited_for() -> None:
    script = RECIPE / "init"
    subprocess.run(["sh", "-n", script], check=True)
    assert 'echo "<5>kernelgate: $network" > /dev/kmsg' in script.read_text()
    for line in (READY, NO_NETWORK):
        assert f"network='{line.removeprefix('kernelgate: ')}'" in script.read_text()
    assert f'*" {SHELL} "*)' in script.read_text()


def test_test_programs_are_no_part_of_the_image(copy: Path) -> None:
    before = fingerprint(copy)
    (copy / "programs" / "kg_new.c").write_text("a test")
    (copy / "programs" / "kg_tap.h").write_text("what tests include")
    assert fingerprint(copy) == before
    assert [path.name for path in image._own_programs(copy)] == ["kexec.c", "kmsg.c"]
