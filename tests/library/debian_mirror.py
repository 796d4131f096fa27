# SPDX-License-Identifier: GPL-2.0-only
"""A Debian mirror of our own on the loopback address, signed with a key of our own, and a system that uses it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_kernel import kernel

from kernelgate import apt

ADDRESS = "@address@"


class Mirror:
    """The archive under FOLDER/debian; served() serves it, and the system's apt knows it as bookworm."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.archive = folder / "debian"
        self._suites = 0
        self._keys = folder / "keys"
        self._keys.mkdir(mode=0o700)
        self._monkeypatch = monkeypatch
        self.keyring = self.make_key("archive")
        monkeypatch.setattr(apt, "_keyring", lambda: self.keyring)

    def make_key(self, name: str) -> Path:
        """A new key NAME; returns its public part."""
        self._gpg("--quick-generate-key", name, "ed25519", "sign", "never")
        public = self.folder / f"{name}.gpg"
        self._gpg("--output", str(public), "--export", name)
        return public

    def package(self, package: str, version: str, depends: str = "") -> Path:
        """A linux-source PACKAGE in the pool, with the fake kernel in it; it DEPENDS on another one, or on none."""
        place = self.folder / "packages" / f"{package}_{version}"
        kernel(place / "tree" / package)
        source = place / "root/usr/src"
        source.mkdir(parents=True)
        subprocess.run(["tar", "-C", place / "tree", "-cJf", source / f"{package}.tar.xz", package], check=True)
        control = place / "root/DEBIAN/control"
        control.parent.mkdir()
        control.write_text(_control(package, version, depends))
        deb = self.archive / f"pool/{package}_{version}_all.deb"
        deb.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-b", "-z0", place / "root", deb], check=True, capture_output=True)
        return deb

    def suite(self, name: str, debs: list[Path], key: str = "archive") -> Path:
        """The suite NAME with DEBS, signed with KEY; returns its folder."""
        index = "\n".join(self._stanza(deb) for deb in debs).encode()
        folder = self.archive / "dists" / name
        packages = folder / "main/binary-amd64/Packages"
        packages.parent.mkdir(parents=True, exist_ok=True)
        packages.write_bytes(index)
        checksum = f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages"
        release = folder / "Release"
        release.write_text(
            f"Origin: Debian\nSuite: {name}\nCodename: {name}\nDate: Mon, 08 Jun 2026 21:53:00 UTC\n"
            f"NotAutomatic: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n{checksum}\n"
        )
        signed = folder / "InRelease"
        signed.unlink(missing_ok=True)
        self._gpg("--local-user", key, "--output", str(signed), "--clearsign", str(release))
        release.unlink()
        self._suites += 1
        for path in (packages, signed):  # apt asks for what is newer, to the second
            os.utime(path, (time.time(), time.time() - 3600 + self._suites))
        return folder

    @contextlib.contextmanager
    def served(self, more: str = "") -> Iterator[None]:
        """The mirror on the loopback address, and a system whose apt is configured for it.

        MORE lines of its sources.list may say ADDRESS for the server's own.
        """
        handler = functools.partial(_Handler, directory=str(self.folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
            threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
            sources = f"{more}deb {ADDRESS}/debian bookworm main\n"
            address = f"http://127.0.0.1:{httpd.server_port}"
            configure(self.folder, self._monkeypatch, sources.replace(ADDRESS, address))
            yield
            httpd.shutdown()

    def close(self) -> None:
        """End the agent that gpg started."""
        subprocess.run(["gpgconf", "--homedir", self._keys, "--kill", "gpg-agent"], check=True)

    def _gpg(self, *args: str) -> None:
        argv = ["gpg", "--homedir", str(self._keys), "--batch", "--quiet", "--passphrase", "", *args]
        subprocess.run(argv, check=True, capture_output=True)

    def _stanza(self, deb: Path) -> str:
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
        data = deb.read_bytes()
        where = f"Filename: {deb.relative_to(self.archive)}\nSize: {len(data)}\n"
        return control + where + f"SHA256: {hashlib.sha256(data).hexdigest()}\n"


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, sources: str, name: str = "sources.list") -> None:
    """Let the system's apt be configured with SOURCES, one-line or (NAME ends in .sources) deb822."""
    parts = folder / "sources.list.d"
    parts.mkdir(exist_ok=True)
    (parts / name.replace("sources.list", "debian.list")).write_text(sources)
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": folder / "system-lists",
        "Acquire::http::Proxy::127.0.0.1": "DIRECT",
        "Acquire::Retries::Delay": "false",
    }
    (folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))


def _control(package: str, version: str, depends: str) -> str:
    needs = f"Depends: {depends}\n" if depends else ""
    return (
        f"Package: {package}\nVersion: {version}\nArchitecture: all\n{needs}"
        "Maintainer: A Person <person@example.org>\nDescription: kernel source\n"
    )


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Say nothing."""
