# SPDX-License-Identifier: GPL-2.0-only
"""The real apt with a signed mirror on the loopback address."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_mirror import ADDRESS, Mirror, configure

from kernelgate.apt import SUITES, Apt, Mirrors, mirrors, sources_list
from kernelgate.cache import Cache
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.progress import Step, silent
from kernelgate.source import resolve

ONE_LINE = """
deb http://mirror.example/debian bookworm main
deb [arch=amd64] http://mirror.example/debian bookworm-updates main
deb http://security.example/debian-security bookworm-security main
deb-src http://source.example/debian bookworm main
deb https://other.example/linux bookworm stable
deb https://other.example/repo stable-tools main
deb http://archive.example/ubuntu jammy main
"""
DEB822 = """
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main
"""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    (tmp_path / "mirror").mkdir()
    made = Mirror(tmp_path / "mirror", monkeypatch)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apt").mkdir()
    return tmp_path / "apt"


@pytest.mark.parametrize(("text", "name"), [(ONE_LINE, "sources.list"), (DEB822, "debian.sources")])
def test_the_mirrors_are_those_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str
) -> None:
    configure(tmp_path, monkeypatch, text, name)
    printed = subprocess.run(["apt-get", "--print-uris", "update"], check=True, capture_output=True, text=True).stdout
    found = mirrors(printed)
    assert found == Mirrors(("http://mirror.example/debian",), ("http://security.example/debian-security",))


def test_another_distribution_has_no_debian_mirror() -> None:
    suites = ("jammy", "jammy-updates", "jammy-security")
    printed = "".join(
        f"'http://archive.example/ubuntu/dists/{suite}/main/binary-amd64/Packages.xz' x 0\n" for suite in suites
    )
    with pytest.raises(UserError, match="configured for no Debian mirror: name a tarball"):
        mirrors(printed)


def test_only_the_suite_is_changed() -> None:
    lines = sources_list(Mirrors(("http://m/debian",), ("http://s/security",)), Path("/key.gpg")).splitlines()
    assert lines[0] == "deb [arch=amd64 signed-by=/key.gpg] http://m/debian bookworm main"
    assert lines[1] == "deb [arch=amd64 signed-by=/key.gpg] http://s/security bookworm-security main"
    assert len(lines) == len(SUITES)
    assert len(sources_list(Mirrors(("http://m/debian",), ()), None).splitlines()) == len(SUITES) - 1


def test_the_newest_wins_whatever_its_suite_and_a_missing_suite_is_passed_over(mirror: Mirror, folder: Path) -> None:
    old, new, candidate = (mirror.package("linux-source-7.3", v) for v in ("7.3.4-1~bpo13+1", "7.3.4-1", "7.3~rc7-1"))
    mirror.suite("trixie-backports", [old])
    mirror.suite("sid", [new])
    mirror.suite("bookworm", [candidate])
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        assert apt.newest("linux-source-7.3") == "7.3.4-1"
        assert apt.newest("linux-source-9.9") is None


def test_download(mirror: Mirror, folder: Path, tmp_path: Path) -> None:
    deb = mirror.package("linux-source-7.2", "7.2.13-1")
    mirror.suite("sid", [deb])
    steps: list[Step] = []
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        fetched = apt.download("linux-source-7.2", "7.2.13-1", tmp_path, steps.append)
    assert fetched.read_bytes() == deb.read_bytes()
    assert steps[0].name == "download linux-source-7.2 7.2.13-1"


def test_a_package_comes_alone_or_with_what_it_depends_on(mirror: Mirror, folder: Path) -> None:
    first = mirror.package("linux-source-7.2", "7.2.13-1", depends="linux-source-7.3")
    second = mirror.package("linux-source-7.3", "7.3.4-1")
    mirror.suite("sid", [first, second])
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        assert [deb.name for deb in apt.download_alone(["linux-source-7.2"])] == [first.name]
        assert [deb.name for deb in apt.download_all(["linux-source-7.2"])] == [first.name, second.name]


def test_a_package_that_was_tampered_with(mirror: Mirror, folder: Path, tmp_path: Path) -> None:
    deb = mirror.package("linux-source-7.2", "7.2.13-1")
    mirror.suite("sid", [deb])
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        with pytest.raises(InfrastructureError, match=r"linux-source-7\.2 7\.2\.13-1 did not arrive: .*(Hash|Failed)"):
            apt.download("linux-source-7.2", "7.2.13-1", tmp_path, silent)
    assert list(tmp_path.glob("*.deb")) == []


def test_a_suite_signed_by_another_key_is_not_trusted(mirror: Mirror, folder: Path) -> None:
    mirror.make_key("stranger")
    mirror.suite("bookworm", [mirror.package("linux-source-7.2", "7.2.13-1")])
    mirror.suite("sid", [mirror.package("linux-source-7.2", "7.2.99-1")], key="stranger")
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        assert apt.newest("linux-source-7.2") == "7.2.13-1"


def test_lists_that_were_tampered_with_are_not_trusted(mirror: Mirror, folder: Path) -> None:
    mirror.suite("bookworm", [mirror.package("linux-source-7.2", "7.2.13-1")])
    sid = mirror.suite("sid", [mirror.package("linux-source-7.2", "7.2.20-1")])
    packages = sid / "main/binary-amd64/Packages"
    packages.write_text(packages.read_text().replace("7.2.20-1", "7.2.99-1"))
    with mirror.served():
        apt = Apt(folder)
        apt.update()
        assert apt.newest("linux-source-7.2") == "7.2.13-1"


def test_a_repository_of_somebody_else_is_passed_over(mirror: Mirror, folder: Path, tmp_path: Path) -> None:
    mirror.make_key("stranger")
    deb = mirror.package("linux-source-7.2", "7.2.99-1")
    mirror.suite("stable", [deb], key="stranger")
    mirror.suite("sid", [deb], key="stranger")
    (mirror.folder / "chrome").mkdir()
    mirror.archive.rename(mirror.folder / "chrome/debian")
    mirror.suite("bookworm", [mirror.package("linux-source-7.2", "7.2.13-1")])
    with mirror.served(f"deb {ADDRESS}/chrome/debian stable main\n"):
        apt = Apt(folder)
        apt.update()
        assert "/chrome/debian sid main" in (folder / "sources.list").read_text()
        assert apt.newest("linux-source-7.2") == "7.2.13-1"


def test_no_network(mirror: Mirror, folder: Path) -> None:
    with mirror.served():
        apt = Apt(folder)
    with pytest.raises(
        InfrastructureError, match=r"^apt cannot reach the Debian mirror: .*Connection refused"
    ) as caught:
        apt.update()
    assert "\n" not in str(caught.value)


# The same by way of --base


def make_stale(cache: Cache) -> None:
    """Let everything that was asked of the mirror be two days old."""
    record = cache.root / "resolved/7.2/record.json"
    found = record.read_text()
    checked = found[found.index('"checked": ') :]
    record.write_text(found.replace(checked, f'"checked": {time.time() - 48 * 3600}}}'))
    long_ago = time.time() - 48 * 3600
    os.utime(cache.root / "apt/state/updated", (long_ago, long_ago))


def test_a_base_from_the_mirror_then_from_the_cache_then_a_newer_one(mirror: Mirror, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    older = mirror.package("linux-source-7.2", "7.2.13-1")
    mirror.suite("sid", [older])
    with mirror.served():
        tree = resolve("7.2", cache, silent)
    assert tree.version == "7.2.13-1"
    assert (tree.pristine / "mm/gup.c").exists()
    assert not list((cache.root).rglob("*.deb"))

    make_stale(cache)
    steps: list[Step] = []
    assert resolve("7.2", cache, steps.append) == tree
    assert steps[-1].name.startswith("7.2: using 7.2.13-1 from the cache: apt cannot reach the Debian mirror")

    mirror.suite("sid", [older, mirror.package("linux-source-7.2", "7.2.14-1")])
    with mirror.served():
        assert resolve("7.2", cache, silent).version == "7.2.14-1"


def test_a_release_that_is_gone_from_the_pool_is_asked_for_anew(mirror: Mirror, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    gone = mirror.package("linux-source-7.2", "7.2.13-1")
    mirror.suite("sid", [gone])
    gone.unlink()
    with mirror.served():
        with pytest.raises(InfrastructureError, match=r"did not arrive: .*404"):
            resolve("7.2", cache, silent)
        mirror.suite("sid", [mirror.package("linux-source-7.2", "7.2.14-1")])
        assert resolve("7.2", cache, silent).version == "7.2.14-1"


def test_a_base_that_the_mirror_lacks(mirror: Mirror, tmp_path: Path) -> None:
    mirror.suite("sid", [mirror.package("linux-source-7.2", "7.2.13-1")])
    with mirror.served(), pytest.raises(InfrastructureError, match=r"has no linux-source-7\.3: name another base"):
        resolve("7.3", Cache(tmp_path / "cache"), silent)
