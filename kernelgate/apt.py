# SPDX-License-Identifier: GPL-2.0-only
"""Debian's packages through an apt of our own, which leaves the system's untouched.

Everything apt writes is in one folder; the signatures are checked with the system's
keyring. The mirror is the one that the system's own apt is configured for, with only
the suite changed.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from kernelgate.command import PIPE, run, start
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.progress import Report, Step

SUITES = ("bookworm", "bookworm-security", "trixie-backports", "sid", "experimental")
"""Where linux-source-6.1, -6.12 (first two), -7.2 (next two) and -7.3 (last) are; a mirror may lack some."""

_NAME = r"(?:oldstable|stable|testing|bookworm|trixie|forky|duke)"
_ARCHIVE_SUITES = re.compile(rf"unstable|experimental|sid|{_NAME}(?:-updates|-backports|-proposed-updates)?")
_SECURITY_SUITES = re.compile(rf"{_NAME}-security")
_INDEX = re.compile(r"^'(\S+?)/dists/(\S+?)/main/binary-\w+/Packages", re.MULTILINE)

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Mirrors:
    """Where the system's apt may find Debian's archive and its security updates.

    Other people's repositories name their suites "stable" or "bookworm" too. They are
    asked as well, and passed over: they have none of the suites, signed by Debian's key.
    """

    archive: tuple[str, ...]
    security: tuple[str, ...]


def mirrors(index_uris: str) -> Mirrors:
    """The mirrors named in INDEX_URIS, the output of `apt-get --print-uris update`.

    apt itself reads both formats of its configuration; `indextargets` would be
    plainer, but lists nothing until the first update.
    Raises UserError when no Debian archive is among them.
    """
    sites = _INDEX.findall(index_uris)
    archive = dict.fromkeys(site for site, suite in sites if _ARCHIVE_SUITES.fullmatch(suite))
    security = dict.fromkeys(site for site, suite in sites if _SECURITY_SUITES.fullmatch(suite))
    if not archive:
        raise UserError(
            "the system's apt is configured for no Debian mirror: name a tarball, a directory or git:PATH@REV as base"
        )
    return Mirrors(tuple(archive), tuple(security))


def sources_list(
    found: Mirrors, keyring: Path | None, suites: Sequence[str] = SUITES, architecture: str = "amd64"
) -> str:
    """The sources.list of all of SUITES that FOUND has a place for."""
    trust = f" signed-by={keyring}" if keyring else ""
    lines = []
    for suite in suites:
        sites = found.security if suite.endswith("-security") else found.archive
        lines += [f"deb [arch={architecture}{trust}] {site} {suite} main\n" for site in sites]
    return "".join(lines)


class Apt:
    """A private apt whose whole state is FOLDER, for Debian's ARCHITECTURE.

    Raises UserError when the system has no apt, or one that knows no Debian mirror.
    """

    def __init__(self, folder: Path, suites: Sequence[str] = SUITES, architecture: str = "amd64") -> None:
        if shutil.which("apt-get") is None:
            raise UserError("this system has no apt: name a tarball, a directory or git:PATH@REV as base")
        self.folder = folder
        self._options = _options(folder, architecture)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        configured = run(["apt-get", "--print-uris", "update"]).stdout
        (folder / "sources.list").write_text(sources_list(mirrors(configured), _keyring(), suites, architecture))

    def update(self) -> None:
        """Fetch the package lists anew; a suite that the mirror lacks is passed over.

        Raises InfrastructureError when not one suite could be fetched.
        """
        result = run(["apt-get", *self._options, "-q", "update"], check=False)
        fetched = re.findall(r"^(?:Get|Hit):\d+ .*InRelease", result.stdout, re.MULTILINE)
        if not fetched:
            raise InfrastructureError(f"apt cannot reach the Debian mirror: {_complaint(result.stderr)}")

    def newest(self, package: str) -> str | None:
        """The highest version of PACKAGE in any suite, whatever their priorities; None when there is none."""
        out = run(["apt-cache", *self._options, "madison", package]).stdout
        versions = [line.split("|")[1].strip() for line in out.splitlines() if line.count("|") == 2]
        return max(versions, key=cmp_to_key(_compare), default=None)

    def download(self, package: str, version: str, folder: Path, report: Report) -> Path:
        """Fetch PACKAGE at VERSION into FOLDER and return the .deb.

        Raises InfrastructureError when it does not arrive whole and with the right checksum.
        """
        argv = ["apt-get", *self._options, "-q", "download", f"{package}={version}"]
        name, total = f"download {package} {version}", self._size(package, version)
        places = (folder, self.folder / "cache/archives/partial")
        with start(argv, cwd=folder, stderr=PIPE) as child:
            while child.poll() is None:
                report(Step(name, _megabytes(*places), total, "MB"))
                time.sleep(POLL_SECONDS)
            assert child.stderr is not None
            complaint = child.stderr.read().decode(errors="replace")
        fetched = list(folder.glob(f"{package}_*.deb"))
        if child.returncode or not fetched:
            raise InfrastructureError(f"{package} {version} did not arrive: {_complaint(complaint)}")
        return fetched[0]

    def download_all(self, packages: Sequence[str]) -> list[Path]:
        """Fetch PACKAGES and all that they depend on, and return the .debs that are here now.

        Nothing counts as installed here, so that the answer is complete.
        Raises InfrastructureError when one of them does not arrive.
        """
        return self._fetch(["install", "--download-only", "--no-install-recommends", *packages])

    def download_alone(self, packages: Sequence[str]) -> list[Path]:
        """Fetch PACKAGES and nothing else; otherwise as download_all()."""
        return self._fetch(["download", *packages])

    def _fetch(self, wanted: Sequence[str]) -> list[Path]:
        archives = self.folder / "cache/archives"
        result = run(["apt-get", *self._options, "-q", "-y", *wanted], cwd=archives, check=False)
        if result.status:
            raise InfrastructureError(f"apt-get {' '.join(wanted)}: {_complaint(result.stderr)}")
        return sorted(archives.glob("*.deb"))

    def _size(self, package: str, version: str) -> int | None:
        shown = run(["apt-cache", *self._options, "show", f"{package}={version}"], check=False).stdout
        size = re.search(r"^Size: (\d+)$", shown, re.MULTILINE)
        return int(size[1]) // 1_000_000 if size else None


def _options(folder: Path, architecture: str) -> list[str]:
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",  # _apt may not write where we are
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _keyring() -> Path | None:
    """Debian's own keyring, so that a key trusted for another repository cannot sign for Debian."""
    return next(iter(sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.[gp]*"))), None)


def _compare(one: str, other: str) -> int:
    def holds(relation: str) -> bool:
        return run(["dpkg", "--compare-versions", one, relation, other], check=False).status == 0

    return -1 if holds("lt") else 1 if holds("gt") else 0


def _complaint(stderr: str) -> str:
    """The line of apt's STDERR that says why."""
    errors = re.findall(r"^(?:E|W|Err): ?(.+)$", stderr, re.MULTILINE)
    return errors[0].strip() if errors else "it does not say why"


def _megabytes(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.glob("*")) // 1_000_000
