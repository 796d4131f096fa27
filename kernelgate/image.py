# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: an initramfs from Debian packages, by the recipe in images/.

It is not compressed: an emulated CPU takes longer to unpack it than QEMU to load it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from kernelgate import programs
from kernelgate.apt import Apt
from kernelgate.cache import Cache
from kernelgate.command import find, run
from kernelgate.errors import InfrastructureError, UserError, unknown
from kernelgate.progress import Report, Step

RECIPE = Path(__file__).resolve().parent.parent / "images"
INITRAMFS = "initramfs.cpio"
PACKAGES = "packages.txt"
"""Beside the initramfs: the exact packages that it was made of."""
VERSION = "1"
"""Raise it when this module makes another image of the same recipe."""


@dataclass(frozen=True)
class Target:
    """One architecture's names: ours, and Debian's."""

    arch: str
    debian: str


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "x86_64": Target("x86_64", "amd64"),
        "arm64": Target("arm64", "arm64"),
    }
)


@dataclass(frozen=True)
class Recipe:
    """images/recipe.toml, which says what each field is."""

    suites: tuple[str, ...]
    packages: tuple[str, ...]
    alone: tuple[str, ...]
    programs: tuple[str, ...]
    folders: tuple[str, ...]
    links: Mapping[str, str]
    files: Mapping[str, str]


def recipe(folder: Path = RECIPE, more: str = "") -> Recipe:
    """The recipe in FOLDER, with what MORE.toml there adds to it. Raises UserError when it cannot be understood."""
    path = folder / "recipe.toml"
    try:
        data = tomllib.loads(path.read_text())
        words = {name: tuple(data[name]) for name in ("suites", "packages", "alone", "programs", "folders")}
        whole = Recipe(**words, links=MappingProxyType(data["links"]), files=MappingProxyType(data["files"]))
        if not more:
            return whole
        path = folder / f"{more}.toml"
        added = tomllib.loads(path.read_text())
        return replace(
            whole,
            packages=(*whole.packages, *added["packages"]),
            programs=(*whole.programs, *added["programs"]),
        )
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: {error}: see the comments in the file") from None


def make(arch: str, cache: Cache, report: Report, more: str = "") -> Path:
    """The initramfs of ARCH, without a key; made once for each state of images/, then of the cache.

    MORE names a recipe that adds to the common one.

    Raises UserError for an unknown architecture, InfrastructureError when the
    packages cannot be had, a program is missing or one of images/programs/ does not
    compile.
    """
    if arch not in TARGETS:
        raise unknown("architecture", arch, TARGETS)
    key = "-".join(word for word in (arch, more, fingerprint(RECIPE)) if word)
    return cache.publish("image", key, lambda place: _make(TARGETS[arch], more, place, report), report) / INITRAMFS


def fingerprint(folder: Path) -> str:
    """A name for the contents of FOLDER, the names of its files included, test programs left out."""
    digest = hashlib.sha256(VERSION.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.match(programs.TESTS)):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def with_key(initramfs: Path, public_key: str, target: Path) -> Path:
    """Write INITRAMFS to TARGET with PUBLIC_KEY (a line of authorized_keys) as root's, and return TARGET."""
    return with_files(initramfs, {"root/.ssh/authorized_keys": public_key.encode() + b"\n"}, target)


def with_files(initramfs: Path, files: Mapping[str, bytes], target: Path, mode: int = 0o600) -> Path:
    """Write INITRAMFS to TARGET with FILES (path in the guest to contents) of MODE besides, and return TARGET.

    The kernel unpacks archives that follow each other as one
    (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        place = Path(name)
        for path, contents in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (place / path).write_bytes(contents)
            (place / path).chmod(mode)  # dropbear passes over a key that others may write
        folders = {Path(path).parent for path in files} - {Path(), Path("root/.ssh")}
        segment = place / "segment.cpio"
        _pack(place, segment, [*sorted(folders), *map(Path, files)])
        target.write_bytes(initramfs.read_bytes() + segment.read_bytes())
    return target


def _make(target: Target, more: str, place: Path, report: Report) -> None:
    contents = recipe(more=more)
    with tempfile.TemporaryDirectory(dir=place) as name:
        work = Path(name)
        report(Step(f"fetch the guest's packages ({target.debian})"))
        debs = _fetch(target, contents, work / "apt")
        for deb in debs:
            run(["dpkg-deb", "-x", deb, work / "packages"])
        report(Step(f"make the guest's image ({target.debian})"))
        root = work / "root"
        _lay_out(contents, work / "packages", root)
        programs.compile_all(target.arch, _own_programs(RECIPE), root / "bin")
        _pack(root, place / INITRAMFS, sorted(path.relative_to(root) for path in root.rglob("*")))
        (place / PACKAGES).write_text("".join(f"{deb.stem}\n" for deb in debs))


def _fetch(target: Target, contents: Recipe, folder: Path) -> list[Path]:
    apt = Apt(folder, contents.suites, target.debian)
    apt.update()
    apt.download_all(contents.packages)
    return apt.download_alone(contents.alone)


def _lay_out(contents: Recipe, packages: Path, root: Path) -> None:
    for folder in ("bin", "lib", *contents.folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for private in ("root", "root/.ssh"):  # dropbear refuses keys that others could write
        (root / private).chmod(0o700)
    for name, text in contents.files.items():
        (root / name).write_text(text)
    for name, pointed_at in contents.links.items():
        (root / name).symlink_to(pointed_at)
    _copy(RECIPE / "init", root / "init")
    for program in contents.programs:
        _copy(packages / program, root / program)
        for library, place in libraries(packages, packages / program).items():
            _copy(library, root / place)


def libraries(packages: Path, program: Path) -> dict[Path, str]:
    """The shared libraries that PROGRAM needs, themselves needed ones included, and where the guest wants them.

    The loader is wanted where the program says (PT_INTERP), all else is found in /lib (ld.so(8)).
    Raises InfrastructureError when one is in none of the PACKAGES.
    """
    found: dict[Path, str] = {}
    waiting = [program]
    while waiting:
        described = run(["readelf", "--wide", "--dynamic", "--program-headers", waiting.pop()]).stdout
        for path in re.findall(r"program interpreter: /(\S+)\]", described):
            found[_library(packages, Path(path).name)] = path
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", described):
            library = _library(packages, name)
            if library not in found:
                found[library] = f"lib/{name}"
                waiting.append(library)
    return found


def _library(packages: Path, name: str) -> Path:
    for folder in ("lib", "usr/lib", "lib64"):
        for path in sorted((packages / folder).rglob(name)):
            return path
    raise InfrastructureError(f"the guest's packages lack the library {name}: add its package to images/recipe.toml")


def _own_programs(folder: Path) -> list[Path]:
    """The sources of what is in every image; test programs are copied into the guest that runs them."""
    return sorted(path for path in (folder / "programs").glob("*.c") if not path.match(programs.TESTS))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)


def _pack(root: Path, target: Path, paths: Iterable[Path]) -> None:
    """Write PATHS of the folder ROOT to the cpio archive TARGET, all owned by the guest's root."""
    names = "".join(f"{path}\0" for path in paths)
    options = ["--create", "--null", "--quiet", "--format=newc", "--owner=+0:+0", "--reproducible"]
    run([find("cpio", "cpio"), *options, f"--file={target}"], cwd=root, stdin=names)
