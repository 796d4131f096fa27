# SPDX-License-Identifier: GPL-2.0-only
"""Where a pristine kernel tree comes from: a base becomes a git repository in the cache.

Whatever the base is, it is unpacked once into `sources/KEY/tree` and recorded as one
commit in `sources/KEY/git`; both appear together, by one rename. Nothing writes into
`tree` afterwards: other trees share its files by hard links.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.apt import Apt
from kernelgate.cache import Cache
from kernelgate.command import pipe, run, run_lines
from kernelgate.errors import CommandError, InfrastructureError, KernelgateError, UserError, unknown
from kernelgate.git import Counter, Repository, user_git
from kernelgate.progress import Report, Step

BASES = ("7.2", "7.3", "6.12", "6.1")
"""The kernels that Debian packages as linux-source-X.Y and that this gate knows its way around.

A series that names no bases, or none at all, is for the first that can be had: that of the
default series, so that a run without patches is what to compare its run with.
"""

REFRESH_SECONDS = 24 * 3600
"""How long the answer to "which is the newest point release?" is good for."""

UNUSED_SECONDS = 3600
"""An older import of a directory that nobody used for so long is removed when a newer one is made."""

DOWNLOAD_TIMEOUT = 30
"""Seconds without a byte after which a download is given up."""

Unpack = Callable[[Path], None]
"""Fills an empty folder with a kernel tree."""


@dataclass(frozen=True)
class SourceTree:
    """A pristine kernel: the base as it was asked for, its exact version, and its commit in the git repository REPO."""

    base: str
    version: str
    repo: Path
    commit: str

    @property
    def pristine(self) -> Path:
        """The checked-out files of COMMIT; nobody writes there."""
        return self.repo.parent / "tree"


def resolve(base: str, cache: Cache, report: Report) -> SourceTree:
    """The tree that BASE names, fetched and imported when the cache does not have it.

    BASE is one of BASES, a kernel directory, `git:PATH@REV`, a tarball's path, or a
    tarball's URL with `#sha256=HEX`.
    Raises UserError for a BASE that is none of these, InfrastructureError when it
    cannot be fetched or does not arrive whole.
    """
    if base in BASES:
        return _distribution(base, cache, report)
    if base.startswith("git:"):
        return _revision(base, cache, report)
    if "://" in base:
        return _download(base, cache, report)
    path = Path(base).expanduser()
    if path.is_dir():
        return _directory(base, path.resolve(), cache, report)
    if path.is_file():
        return _tarball(base, path.resolve(), _sha256(path), cache, report)
    if "/" in base:
        raise UserError(f"{base} does not exist: name a kernel directory, a tarball, or one of {', '.join(BASES)}")
    raise unknown("base", base, BASES)


def resolve_first(bases: Sequence[str], cache: Cache, report: Report) -> SourceTree:
    """The first of BASES that can be had; each one passed over is reported with the reason.

    Raises the error of the last one when none can be had.
    """
    for base in bases[:-1]:
        try:
            return resolve(base, cache, report)
        except InfrastructureError as error:
            report(Step(f"{base} cannot be had: {_first_line(error)}"))
    return resolve(bases[-1], cache, report)


def kernel_version(tree: Path, base: str | None = None) -> str:
    """The version that TREE's own Makefile gives, e.g. `7.2.13` or `7.3.0-rc7`.

    Raises UserError when TREE, or BASE that it was unpacked from, is no kernel tree.
    """
    makefile = tree / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() and (tree / "Kconfig").is_file() else ""
    fields = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)", text, re.MULTILINE))
    if not fields.get("VERSION") or not fields.get("PATCHLEVEL"):
        wants = "it has no Kconfig, or no Makefile with VERSION and PATCHLEVEL"
        raise UserError(f"{base or tree} is not a kernel tree: {wants}")
    numbers = f"{fields['VERSION']}.{fields['PATCHLEVEL']}.{fields.get('SUBLEVEL') or '0'}"
    return f"{numbers}{fields.get('EXTRAVERSION', '')}"


# The distribution's packages


def _distribution(base: str, cache: Cache, report: Report) -> SourceTree:
    """The newest point release, asked for once a day; what is in the cache does when nobody answers."""
    recorded = _recorded(base, cache)
    known = _cached(base, _package_key(base, recorded[0]), cache) if recorded else None
    if known and recorded and time.time() - recorded[1] < REFRESH_SECONDS:
        return known
    try:
        return _newest(base, cache, report)
    except KernelgateError as error:
        if known is None:
            raise
        report(Step(f"{base}: using {known.version} from the cache: {_first_line(error)}"))
        return known


def _newest(base: str, cache: Cache, report: Report) -> SourceTree:
    package = f"linux-source-{base}"
    version = _newest_version(package, cache, report)

    def unpack(tree: Path) -> None:
        _unpack_package(package, version, tree, cache, report)

    tree = _imported(base, _package_key(base, version), version, unpack, cache, report)
    with cache.workplace("resolved", base, report) as folder:
        _write(folder / "record.json", {"version": version, "checked": time.time()})
    return tree


def _newest_version(package: str, cache: Cache, report: Report) -> str:
    with cache.workplace("apt", "state", report) as folder:
        apt = Apt(folder)
        updated = folder / "updated"
        if not updated.exists() or time.time() - updated.stat().st_mtime > REFRESH_SECONDS:
            report(Step("apt update"))
            apt.update()
            updated.touch()
        version = apt.newest(package)
    if version is None:
        raise InfrastructureError(f"the Debian mirror has no {package}: name another base, a tarball or a directory")
    return version


def _unpack_package(package: str, version: str, tree: Path, cache: Cache, report: Report) -> None:
    place = tree.parent / "package"
    place.mkdir()
    with cache.workplace("apt", "state", report) as folder:
        try:
            deb = Apt(folder).download(package, version, place, report)
        except InfrastructureError:
            (folder / "updated").unlink(missing_ok=True)  # a release that is gone: the next run asks anew
            raise
    run(["dpkg-deb", "-x", deb, place])
    deb.unlink()  # the tree needs the room
    _untar(place / "usr/src" / f"{package}.tar.xz", tree, f"unpack {package} {version}", report)
    shutil.rmtree(place)


def _package_key(base: str, version: str) -> str:
    return f"linux-source-{base}_{version}"


def _recorded(base: str, cache: Cache) -> tuple[str, float] | None:
    """The version that BASE last stood for and when that was found out, in seconds since the epoch."""
    record = cache.root / "resolved" / base / "record.json"
    if not record.is_file():
        return None
    cache.used(record.parent)
    found = json.loads(record.read_text())
    return str(found["version"]), float(found["checked"])


# Directories and git revisions


def _directory(base: str, path: Path, cache: Cache, report: Report) -> SourceTree:
    """PATH as it stands now; its key is from all its files' names, sizes and times."""
    version = kernel_version(path)
    names = _files(path)
    lineage = f"dir-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    digest = _stat_digest(path, names)

    def unpack(tree: Path) -> None:
        tree.mkdir()
        listing = tree.parent / "listing"
        listing.write_bytes(b"\0".join(os.fsencode(name) for name in names))
        report(Step(f"copy {path}"))
        exactly = ["--null", "--verbatim-files-from", "--no-recursion"]
        pipe(["tar", "-C", path, *exactly, "-T", listing, "-c"], ["tar", "-C", tree, "-x"])
        listing.unlink()

    imported = _imported(base, f"{lineage}-{digest}", f"{version}-dir{digest}", unpack, cache, report)
    _remove_older(lineage, imported, cache)
    return imported


def _files(path: Path) -> list[str]:
    """The files of PATH; where it is a git work tree, only those that git would not ignore.

    Raises UserError when PATH holds the results of a build, which would get into the tree.
    """
    if (path / ".git").exists():
        listed = user_git(path, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return sorted({name for name in listed.split("\0") if name and _is_file(f"{path}/{name}")})
    if (path / ".config").exists() or (path / "include/config").exists():
        raise UserError(f"{path} holds the results of a build: run `make mrproper` there first")
    return sorted(_walk(path))


def _walk(path: Path) -> Iterator[str]:
    """The names of all files and links below PATH; plain strings, since there are 95,000."""
    start = len(f"{path}/")
    for folder, folders, names in os.walk(path):
        links = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
        for name in (*names, *links):
            yield f"{folder}/{name}"[start:]


def _is_file(path: str) -> bool:
    """Whether PATH is a file or a link; not one that was deleted, and not a submodule."""
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _stat_digest(path: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        found = os.lstat(f"{path}/{name}")
        line = f"{name}\0{found.st_mode}\0{found.st_size}\0{found.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:12]


def _remove_older(lineage: str, newest: SourceTree, cache: Cache) -> None:
    """Remove imports of the same directory as it was before."""
    for entry in cache.entries():
        older = entry.kind == "sources" and entry.key.startswith(f"{lineage}-") and entry.path != newest.repo.parent
        if older and time.time() - entry.last_used > UNUSED_SECONDS:
            cache.remove(entry)


def _revision(base: str, cache: Cache, report: Report) -> SourceTree:
    """`git:PATH@REV`; the repository at PATH is only read."""
    name, _, rev = base.removeprefix("git:").rpartition("@")
    if not name or not rev:
        raise UserError(f"{base}: say git:PATH@REV, e.g. git:~/linux@v7.2")
    path = Path(name).expanduser().resolve()
    commit = user_git(path, "rev-parse", "--verify", f"{rev}^{{commit}}").split()[-1]

    def unpack(tree: Path) -> None:
        tree.mkdir()
        report(Step(f"read {base}"))
        pipe(["git", "-C", path, "archive", "--format=tar", commit], ["tar", "-C", tree, "-x"])

    return _imported(base, f"git-{commit[:12]}", f"git{commit[:12]}", unpack, cache, report)


# Tarballs


def _tarball(base: str, path: Path, digest: str, cache: Cache, report: Report) -> SourceTree:
    def unpack(tree: Path) -> None:
        _untar(path, tree, f"unpack {path.name}", report)

    return _imported(base, f"tar-{digest[:16]}", f"tar{digest[:12]}", unpack, cache, report)


def _download(base: str, cache: Cache, report: Report) -> SourceTree:
    url, _, fragment = base.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UserError(f"{base}: say what it must be: add #sha256= and its 64 hexadecimal digits")

    def unpack(tree: Path) -> None:
        archive = tree.parent / "download"
        _fetch(url, digest, archive, report)
        _untar(archive, tree, f"unpack {url}", report)
        archive.unlink()

    return _imported(base, f"tar-{digest[:16]}", f"tar{digest[:12]}", unpack, cache, report)


def _fetch(url: str, digest: str, target: Path, report: Report) -> None:
    """Fetch URL into TARGET. Raises InfrastructureError unless all of it comes and its sha256 is DIGEST."""
    done, total = 0, None
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as answer, target.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0) or None
            while block := answer.read(1 << 20):
                file.write(block)
                done += len(block)
                report(Step(f"download {url}", done >> 20, total and total >> 20, "MB"))
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise InfrastructureError(f"{url}: {_cause(error)}") from None
    if total is not None and done < total:
        raise InfrastructureError(f"{url}: the download broke off after {done} of {total} bytes")
    if _sha256(target) != digest:
        raise InfrastructureError(f"{url}: sha256 is {_sha256(target)}, not {digest}")


def _cause(error: Exception) -> object:
    """What is behind ERROR; an HTTPError says it best itself."""
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return error.reason
    return error


def _untar(archive: Path, tree: Path, name: str, report: Report) -> None:
    """Unpack ARCHIVE and make its kernel tree TREE, be it at the top or in the one folder there."""
    place = tree.parent / "unpacked"
    place.mkdir()
    argv = ["tar", "--extract", "--verbose", "--no-same-owner", "--file", str(archive), "--directory", str(place)]
    result = run_lines(argv, Counter(name, report).line, env={"LC_ALL": "C"})
    if os.strerror(errno.ENOSPC) in result.stdout:
        raise CommandError(argv, result.status, result.stdout)
    if result.status:
        # what tar and its decompressor say is mingled with the names, mid-line
        reason = re.search(r"unexpected end[^\n]*|unexpected EOF[^\n]*|(?<=tar: )[^\n]*", result.stdout, re.IGNORECASE)
        raise InfrastructureError(f"{archive.name} is damaged: {reason[0] if reason else f'tar: {result.status}'}")
    inside = list(place.iterdir())
    top = place if (place / "Makefile").exists() or len(inside) != 1 else inside[0]
    top.rename(tree)
    if place.exists():
        place.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The repository in the cache


def _imported(base: str, key: str, version: str, unpack: Unpack, cache: Cache, report: Report) -> SourceTree:
    """The source KEY, made by UNPACK unless the cache has it.

    A VERSION without numbers gets those of the tree's Makefile put before it.
    """

    def make(place: Path) -> None:
        unpack(place / "tree")
        numbers = kernel_version(place / "tree", base)
        exact = version if version[0].isdigit() else f"{numbers}-{version}"
        commit = _record(place, exact, report)
        _write(place / "source.json", {"version": exact, "commit": commit})

    report(Step(f"import {base}"))
    cache.publish("sources", key, make, report)
    found = _cached(base, key, cache)
    assert found is not None
    return found


def _record(place: Path, version: str, report: Report) -> str:
    """The commit that holds PLACE/tree, in the new repository PLACE/git."""
    repository = Repository.create(place / "git")
    total = sum(len(names) for _folder, _folders, names in os.walk(place / "tree"))
    repository.add_all(place / "tree", f"record {version}", total, report)
    commit = repository.commit(f"Linux {version}", None)
    repository.keep("base", commit)
    return commit


def _cached(base: str, key: str, cache: Cache) -> SourceTree | None:
    folder = cache.root / "sources" / key
    record = folder / "source.json"
    if not record.is_file():
        return None
    cache.used(folder)
    found = json.loads(record.read_text())
    return SourceTree(base, found["version"], folder / "git", found["commit"])


def _write(path: Path, value: dict[str, object]) -> None:
    """Write VALUE to PATH, at once or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value))
    draft.rename(path)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
