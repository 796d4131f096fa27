# SPDX-License-Identifier: GPL-2.0-only
"""What can be tried without a kernel: keys, build ids, and guests that do not answer."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from pathlib import Path

import paramiko
import pytest
from bare_guest import bare_boot, code, ready_boot

from kernelgate import guest
from kernelgate.errors import GuestDied, GuestHung, InfrastructureError
from kernelgate.guest import build_id, connect, make_key
from kernelgate.machine import READY, boot

__all__ = ["code"]


def test_key_is_ours_alone_and_fits_its_public_half(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    private = tmp_path / "id_rsa"
    assert private.stat().st_mode & 0o777 == 0o600
    kind, text = key.public.split()
    assert kind == "ssh-rsa"
    assert paramiko.RSAKey(filename=str(private)).get_base64() == text


def test_each_key_is_another(tmp_path: Path) -> None:
    first = make_key(tmp_path)
    (tmp_path / "id_rsa").unlink()
    assert make_key(tmp_path).public != first.public


@pytest.fixture
def notes(tmp_path: Path) -> tuple[bytes, str]:
    """Linux' own kind of note before that of a program, and the build id that readelf finds in them."""
    source, program, flat = tmp_path / "x.c", tmp_path / "x", tmp_path / "notes"
    source.write_text("void _start(void) {}\n")
    subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,--build-id=sha1", "-o", program, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".note.gnu.build-id", program, flat], check=True)
    said = subprocess.run(["readelf", "-n", program], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Build ID: ([0-9a-f]{40})", said)
    assert found
    other = struct.pack("<III", 6, 3, 3) + b"Linux\0\0\0" + b"abc\0"
    return other + flat.read_bytes(), found[1]


def test_build_id_is_what_readelf_says(notes: tuple[bytes, str]) -> None:
    data, expected = notes
    assert build_id(data) == expected


def test_notes_without_a_build_id(notes: tuple[bytes, str]) -> None:
    data, _ = notes
    with pytest.raises(InfrastructureError, match="no build id"):
        build_id(data[: data.index(b"GNU\0") - 12])


def test_guest_without_an_ssh_server_is_hung(code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "CONNECT_SECONDS", 0.1)
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as machine:
        with pytest.raises(GuestHung, match="ssh server does not answer"):
            with connect(machine, make_key(tmp_path)):
                pass


def test_guest_that_dies_is_noticed_before_the_deadline(code: bytes, tmp_path: Path) -> None:
    text = f"{READY}\n[    2.0] Kernel panic - not syncing: out of sorts\n"
    with boot(bare_boot(code, tmp_path, "d", text), tmp_path / "boot") as machine:
        begun = time.monotonic()
        with pytest.raises(GuestDied, match="out of sorts"):
            with connect(machine, make_key(tmp_path)):
                pass
        assert time.monotonic() - begun < guest.CONNECT_SECONDS * machine.patience / 2


class Torn(paramiko.Transport):
    """A connection whose other side goes away as soon as it is asked for something."""

    def __init__(self) -> None: ...

    def open_session(self, *args: object, **kwargs: object) -> paramiko.Channel:
        channel = paramiko.Channel(1)

        def exec_command(command: str | bytes) -> None:
            raise EOFError

        channel.exec_command = exec_command  # type: ignore[method-assign]
        return channel


def test_guest_that_dies_before_it_answers_has_died(code: bytes, tmp_path: Path) -> None:
    text = f"{READY}\n[    2.0] Kernel panic - not syncing: out of sorts\n"
    with boot(bare_boot(code, tmp_path, "d", text), tmp_path / "boot") as machine:
        while "out of sorts" not in machine.console():
            time.sleep(0.05)
        with pytest.raises(GuestDied, match="out of sorts"):
            guest.Guest(machine, Torn()).run(["true"])


def test_connection_that_breaks_is_a_guest_that_hangs(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as machine:
        with pytest.raises(GuestHung, match=r"the connection broke: EOFError\(\)"):
            guest.Guest(machine, Torn()).run(["true"])
