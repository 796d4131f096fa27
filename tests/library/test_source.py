# SPDX-License-Identifier: GPL-2.0-only
"""Bases of a fake kernel, with the real git, tar and a web server on the loopback address."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_kernel import FILES, MAKEFILE, git, kernel, repository

from kernelgate.cache import Cache
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.progress import Step, silent
from kernelgate.source import SourceTree, kernel_version, resolve, resolve_first


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system on which nothing is installed, apt least of all."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def fingerprint(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All files of FOLDER with mode, time and content."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def recorded(tree: SourceTree) -> dict[str, str]:
    """Path and mode of all files in the commit of TREE."""
    listed = git(tree.repo, "ls-tree", "-r", tree.commit).splitlines()
    return {line.split("\t")[1]: line.split()[0] for line in listed}


EVERYTHING = {
    **dict.fromkeys(FILES, "100644"),
    "scripts/checker.sh": "100755",
    "scripts/link": "120000",
}


@pytest.mark.parametrize(
    ("makefile", "version"),
    [
        (MAKEFILE, "7.2.13"),
        (MAKEFILE.replace("EXTRAVERSION =", "EXTRAVERSION = -rc7"), "7.2.13-rc7"),
        ("VERSION = 6\nPATCHLEVEL = 1\n", "6.1.0"),
    ],
)
def test_kernel_version(tmp_path: Path, makefile: str, version: str) -> None:
    (kernel(tmp_path) / "Makefile").write_text(makefile)
    assert kernel_version(tmp_path) == version


@pytest.mark.parametrize("missing", ["Makefile", "Kconfig"])
def test_a_folder_without_a_kernel_is_refused(tmp_path: Path, cache: Cache, missing: str) -> None:
    (kernel(tmp_path / "linux") / missing).unlink()
    with pytest.raises(UserError, match="is not a kernel tree"):
        resolve(str(tmp_path / "linux"), cache, silent)
    assert cache.entries() == []


def test_directory(tmp_path: Path, cache: Cache) -> None:
    linux = kernel(tmp_path / "linux")
    before = fingerprint(linux)
    tree = resolve(str(linux), cache, silent)
    assert recorded(tree) == EVERYTHING
    assert tree.version.startswith("7.2.13-dir")
    assert (tree.pristine / "mm/gup.c").read_text() == FILES["mm/gup.c"]
    assert fingerprint(linux) == before


def test_a_directory_is_imported_once(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    linux = kernel(tmp_path / "linux")
    tree = resolve(str(linux), cache, silent)
    monkeypatch.setenv("PATH", "")
    assert resolve(str(linux), cache, silent) == tree


def test_a_changed_directory_is_another_tree(tmp_path: Path, cache: Cache) -> None:
    linux = kernel(tmp_path / "linux")
    before = resolve(str(linux), cache, silent)
    (linux / "mm/gup.c").write_text("line 1\n")
    after = resolve(str(linux), cache, silent)
    assert after.version != before.version
    assert git(after.repo, "show", f"{after.commit}:mm/gup.c") == "line 1\n"
    assert git(before.repo, "show", f"{before.commit}:mm/gup.c") == FILES["mm/gup.c"]


def test_an_unused_import_of_a_changed_directory_goes(tmp_path: Path, cache: Cache) -> None:
    linux = kernel(tmp_path / "linux")
    before = resolve(str(linux), cache, silent)
    os.utime(before.repo.parent / ".used", (time.time() - 7200, time.time() - 7200))
    (linux / "mm/gup.c").write_text("line 1\n")
    after = resolve(str(linux), cache, silent)
    assert [entry.path for entry in cache.entries()] == [after.repo.parent]


def test_the_commit_depends_on_the_files_alone(tmp_path: Path) -> None:
    first = resolve(str(kernel(tmp_path / "one")), Cache(tmp_path / "cache1"), silent)
    os.utime(kernel_file(tmp_path / "one"), (1, 1))
    again = resolve(str(tmp_path / "one"), Cache(tmp_path / "cache2"), silent)
    assert git(again.repo, "rev-parse", f"{again.commit}^{{tree}}") == git(
        first.repo, "rev-parse", f"{first.commit}^{{tree}}"
    )


def kernel_file(linux: Path) -> Path:
    return linux / "mm/gup.c"


def test_a_work_tree_of_git_as_it_stands(tmp_path: Path, cache: Cache) -> None:
    linux = repository(tmp_path / "linux")
    (linux / "mm/gup.c").write_text("edited\n")
    (linux / "mm/new.c").write_text("new\n")
    (linux / "mm/gup.o").write_text("object\n")
    (linux / "Kconfig").touch()
    (linux / "include/linux/page-flags.h").unlink()
    before = fingerprint(linux)
    tree = resolve(str(linux), cache, silent)
    expected = {**EVERYTHING, "mm/new.c": "100644"}
    del expected["include/linux/page-flags.h"]
    assert recorded(tree) == expected
    assert git(tree.repo, "show", f"{tree.commit}:mm/gup.c") == "edited\n"
    assert fingerprint(linux) == before


def test_a_directory_with_a_build_in_it_is_refused(tmp_path: Path, cache: Cache) -> None:
    (kernel(tmp_path / "linux") / ".config").write_text("")
    with pytest.raises(UserError, match="run `make mrproper` there first"):
        resolve(str(tmp_path / "linux"), cache, silent)


def test_revision(tmp_path: Path, cache: Cache) -> None:
    linux = repository(tmp_path / "linux")
    commit = git(linux, "rev-parse", "base").strip()
    (linux / "mm/gup.c").write_text("not committed\n")
    before = fingerprint(linux)
    tree = resolve(f"git:{linux}@base", cache, silent)
    assert recorded(tree) == EVERYTHING
    assert tree.version == f"7.2.13-git{commit[:12]}"
    assert git(tree.repo, "show", f"{tree.commit}:mm/gup.c") == FILES["mm/gup.c"]
    assert fingerprint(linux) == before


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("git:linux", r"say git:PATH@REV"),
        ("git:{linux}@nosuch", "Needed a single revision"),
        ("git:{linux}@--help", "Needed a single revision"),
        ("git:{linux}/mm/nosuch@base", "does not exist"),
        ("git:{empty}@base", "not a git repository"),
    ],
)
def test_a_revision_that_is_none(tmp_path: Path, cache: Cache, base: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    linux = repository(tmp_path / "linux")
    with pytest.raises(UserError, match=message) as caught:
        resolve(base.format(linux=linux, empty=tmp_path / "empty"), cache, silent)
    assert "\n" not in str(caught.value)


def tarball(folder: Path, *members: str, at: Path) -> Path:
    subprocess.run(["tar", "-C", folder, "-caf", at, *members], check=True)
    return at


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tar"])
@pytest.mark.parametrize("members", [["linux-7.2.13"], ["-C", "linux-7.2.13", "."]], ids=["one folder", "flat"])
def test_tarball(tmp_path: Path, cache: Cache, suffix: str, members: list[str]) -> None:
    kernel(tmp_path / "linux-7.2.13")
    archive = tarball(tmp_path, *members, at=tmp_path / f"linux.{suffix}")
    tree = resolve(str(archive), cache, silent)
    assert recorded(tree) == EVERYTHING
    assert tree.version == f"7.2.13-tar{sha256(archive)[:12]}"
    assert sorted(path.name for path in tree.repo.parent.iterdir()) == [".used", "git", "source.json", "tree"]


def test_a_truncated_tarball(tmp_path: Path, cache: Cache) -> None:
    kernel(tmp_path / "linux")
    archive = tarball(tmp_path, "linux", at=tmp_path / "linux.tar.xz")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(
        InfrastructureError, match=r"linux\.tar\.xz is damaged: .*Unexpected (end of input|EOF in archive)"
    ) as caught:
        resolve(str(archive), cache, silent)
    assert "\n" not in str(caught.value)
    assert cache.entries() == []
    assert list((cache.root / "tmp").iterdir()) == []


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; one named broken-… ends halfway."""

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if "broken-" not in self.path:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a web server for tmp_path."""
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_download(tmp_path: Path, cache: Cache, server: str) -> None:
    kernel(tmp_path / "linux")
    archive = tarball(tmp_path, "linux", at=tmp_path / "linux.tar.gz")
    steps: list[Step] = []
    tree = resolve(f"{server}/linux.tar.gz#sha256={sha256(archive).upper()}", cache, steps.append)
    assert recorded(tree) == EVERYTHING
    assert not (tree.repo.parent / "download").exists()
    assert any(step.name.startswith("download") for step in steps)

    assert resolve(f"http://127.0.0.1:1/gone#sha256={sha256(archive)}", cache, silent).commit == tree.commit


def test_a_file_url(tmp_path: Path, cache: Cache) -> None:
    kernel(tmp_path / "linux")
    archive = tarball(tmp_path, "linux", at=tmp_path / "linux.tar.gz")
    assert recorded(resolve(f"file://{archive}#sha256={sha256(archive)}", cache, silent)) == EVERYTHING


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{server}/linux.tar.gz", "sha256 is {right}, not {wrong}"),
        ("{server}/broken-linux.tar.gz", "the download broke off after [0-9]+ of [0-9]+ bytes"),
        ("{server}/nosuch.tar.gz", "HTTP Error 404"),
        ("http://127.0.0.1:1/linux.tar.gz", "Connection refused"),
        ("nosuch://linux.tar.gz", "unknown url type"),
    ],
)
def test_a_download_that_fails(tmp_path: Path, cache: Cache, server: str, url: str, message: str) -> None:
    kernel(tmp_path / "linux")
    right = sha256(tarball(tmp_path, "linux", at=tmp_path / "linux.tar.gz"))
    tarball(tmp_path, "linux", at=tmp_path / "broken-linux.tar.gz")
    wrong = "0" * 64
    with pytest.raises(InfrastructureError, match=message.format(right=right, wrong=wrong)) as caught:
        resolve(f"{url.format(server=server)}#sha256={wrong}", cache, silent)
    assert "\n" not in str(caught.value)
    assert cache.entries() == []


@pytest.mark.parametrize("fragment", ["", "#", "#sha256=12", "#md5=0123456789abcdef0123456789abcdef"])
def test_a_url_needs_its_checksum(cache: Cache, fragment: str) -> None:
    with pytest.raises(UserError, match="add #sha256="):
        resolve(f"http://127.0.0.1:1/linux.tar.gz{fragment}", cache, silent)


def test_an_unknown_base_names_the_nearest(cache: Cache) -> None:
    with pytest.raises(UserError, match=r"unknown base '7\.22': did you mean 7\.2"):
        resolve("7.22", cache, silent)


def test_a_path_that_is_not_there(cache: Cache) -> None:
    with pytest.raises(UserError, match=r"^/nosuch/linux does not exist: name a kernel directory, a tarball, or"):
        resolve("/nosuch/linux", cache, silent)


def known_release(tmp_path: Path, cache: Cache, checked: float) -> SourceTree:
    """A cache in which 7.2 was found at CHECKED to be a release that is imported as well."""
    imported = resolve(str(kernel(tmp_path / "linux")), cache, silent)
    key = "linux-source-7.2_7.2.13-1"
    imported.repo.parent.rename(cache.root / "sources" / key)
    record = {"version": "7.2.13-1", "commit": imported.commit}
    (cache.root / "sources" / key / "source.json").write_text(json.dumps(record))
    with cache.workplace("resolved", "7.2") as folder:
        (folder / "record.json").write_text(json.dumps({"version": "7.2.13-1", "checked": checked}))
    return SourceTree("7.2", "7.2.13-1", cache.root / "sources" / key / "git", imported.commit)


def test_a_release_found_today_needs_nobody(tmp_path: Path, cache: Cache, request: pytest.FixtureRequest) -> None:
    tree = known_release(tmp_path, cache, time.time() - 3600)
    request.getfixturevalue("no_programs")
    steps: list[Step] = []
    assert resolve("7.2", cache, steps.append) == tree
    assert steps == []


def test_an_older_release_does_when_nobody_answers(
    tmp_path: Path, cache: Cache, request: pytest.FixtureRequest
) -> None:
    tree = known_release(tmp_path, cache, time.time() - 30 * 3600)
    request.getfixturevalue("no_programs")
    steps: list[Step] = []
    assert resolve("7.2", cache, steps.append) == tree
    assert [step.name for step in steps] == [
        "7.2: using 7.2.13-1 from the cache: "
        "this system has no apt: name a tarball, a directory or git:PATH@REV as base"
    ]


@pytest.mark.usefixtures("no_programs")
def test_a_system_without_apt(cache: Cache) -> None:
    with pytest.raises(UserError, match="has no apt: name a tarball, a directory or git:PATH@REV as base"):
        resolve("7.2", cache, silent)


@pytest.mark.parametrize("form", ["git:{linux}@HEAD", "{linux}/../linux.tar"])
def test_what_holds_no_kernel_is_named_as_it_was_asked_for(tmp_path: Path, cache: Cache, form: str) -> None:
    linux = repository(tmp_path / "linux")
    git(linux, "rm", "-q", "Kconfig")
    git(linux, "commit", "-q", "-m", "no more")
    tarball(tmp_path, "linux", at=tmp_path / "linux.tar")
    base = form.format(linux=linux)
    with pytest.raises(UserError) as caught:
        resolve(base, cache, silent)
    assert str(caught.value).startswith(f"{base} is not a kernel tree: ")


def test_the_first_base_that_can_be_had(tmp_path: Path, cache: Cache) -> None:
    gone, there = f"http://127.0.0.1:1/l#sha256={'0' * 64}", str(kernel(tmp_path / "linux"))
    steps: list[Step] = []
    tree = resolve_first([gone, there], cache, steps.append)
    assert tree.base == there
    assert f"{gone} cannot be had: http://127.0.0.1:1/l: [Errno 111] Connection refused" in [
        step.name for step in steps
    ]
    with pytest.raises(InfrastructureError, match="Connection refused"):
        resolve_first([gone, gone], cache, silent)
