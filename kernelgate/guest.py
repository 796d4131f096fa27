# SPDX-License-Identifier: GPL-2.0-only
"""Talk to a running guest: ssh over one connection, with the guest's death noticed while waiting.

The key is made for one run and dies with it. The host key is not checked: the port
is one that our own QEMU holds on the loopback address.
"""

from __future__ import annotations

import logging
import shlex
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kernelgate.command import Result
from kernelgate.errors import InfrastructureError
from kernelgate.machine import Machine
from kernelgate.stopwatch import Stopwatch

# A connection that fails is told by an exception; paramiko, or pytest for it, would print it besides.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

# All in seconds under KVM; machine.PATIENCE stretches them for an emulated guest.
CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 0.5
"""How long one of several attempts to connect may take."""
COMMAND_SECONDS = 15.0
SILENCE_SECONDS = 2.0
"""How long the guest's ssh server may leave a question unanswered before the guest counts as hung."""
LOCKUP_GRACE = 0.5
"""How long a command may still take after the kernel complained of a stuck CPU."""

BROKEN = (paramiko.SSHException, OSError, EOFError)
"""What paramiko raises where the other side has gone."""

POLL_SECONDS = 0.02

QUESTION_SECONDS = 1.0
CHUNK = 65536
TAINT = "/proc/sys/kernel/tainted"
NO_ROOM = 74
"""The exit status by which a shell's line says that it could not write a file: EX_IOERR of sysexits.h."""
OVERWRITTEN = 2
"""The exit status of images/programs/kmsg.c when the log was longer than its buffer."""

# The cheapest for an emulated CPU of what dropbear and paramiko both know.
KEX = ("curve25519-sha256@libssh.org",)
CIPHERS = ("aes128-ctr",)
DIGESTS = ("hmac-sha1",)
KEY_TYPES = ("ssh-ed25519",)


@dataclass(frozen=True)
class Key:
    """A key pair: the private half as paramiko wants it, the public one as authorized_keys wants it."""

    private: paramiko.RSAKey
    public: str


def make_key(folder: Path) -> Key:
    """A new key pair, its private half in FOLDER/id_rsa (for a person's own ssh).

    RSA, as an emulated CPU verifies its signature in half the time that an ed25519 one takes.
    """
    made = rsa.generate_private_key(65537, 2048)
    path = folder / "id_rsa"
    path.touch(mode=0o600)
    path.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    private = paramiko.RSAKey(filename=str(path))
    return Key(private, f"{private.get_name()} {private.get_base64()}")


class Guest:
    """A machine's user space; made by connect()."""

    def __init__(self, machine: Machine, transport: paramiko.Transport) -> None:
        self.machine = machine
        self._transport = transport

    def run(
        self, argv: Sequence[str], timeout: float = COMMAND_SECONDS, stdin: bytes = b"", check: bool = False
    ) -> Result:
        """Run ARGV in the guest to its end, TIMEOUT seconds at most (times the machine's patience).

        A program ended by signal N has status 128 + N. Raises GuestDied or GuestHung as
        soon as the guest is seen to be either, and InfrastructureError when QEMU is lost
        or (with CHECK) the status is not zero.
        """
        return self.shell(shlex.join(argv), timeout, stdin, check)

    def shell(self, line: str, timeout: float = COMMAND_SECONDS, stdin: bytes = b"", check: bool = False) -> Result:
        """As run(), of a line for the guest's shell. Each process more costs an emulated guest some 10 ms."""
        with self._channel() as channel:
            watch = _Watch(self, line, timeout)
            # Not the shell's last command, so that it stays to tell of a signal as 128 + N.
            channel.exec_command(f"{line}; exit $?")
            _feed(channel, stdin, watch)
            out, err = _collect(channel, watch)
            result = Result((line,), channel.recv_exit_status(), out, err)
        if result.status < 0:
            self.machine.check()
            raise self.machine.hung(f"the connection broke during '{line}'")
        if check and result.status:
            raise InfrastructureError(f"in the guest: {line}: status {result.status}: {err.strip()}")
        return result

    def put(self, local: Path, remote: str) -> None:
        """Copy the file LOCAL to REMOTE, with its permissions."""
        mode, name = f"{local.stat().st_mode & 0o777:o}", shlex.quote(remote)
        self.shell(f"cat > {name} && chmod {mode} {name}", stdin=local.read_bytes(), check=True)

    def insmod(self, module: Path, *parameters: str, timeout: float = COMMAND_SECONDS) -> Result:
        """Load MODULE, a file of ours. A module refused is a Result, with the kernel's reason in its log.

        Raises InfrastructureError where the guest has no room for the file.
        """
        remote = f"/tmp/{module.name}"
        load = shlex.join(["insmod", remote, *parameters])
        result = self.shell(f"cat > {shlex.quote(remote)} || exit {NO_ROOM}; {load}", timeout, module.read_bytes())
        if result.status == NO_ROOM:
            raise InfrastructureError(f"in the guest: {remote} cannot be written: {result.stderr.strip()}")
        return result

    def rmmod(self, name: str, timeout: float = COMMAND_SECONDS) -> Result:
        """Unload the module NAME."""
        return self.run(["rmmod", name], timeout)

    def kmsg(self, first: int = 0) -> str:
        """The kernel's log from record FIRST, as /dev/kmsg gives it (Documentation/ABI/testing/dev-kmsg).

        A record that was overwritten before it was read is missing: the sequence numbers show it.
        """
        return self.kmsg_and_taint(first)[0]

    def read(self, path: str) -> str:
        """What the guest's file PATH holds."""
        return self.run(["cat", path], check=True).stdout

    def kmsg_and_taint(self, first: int = 0) -> tuple[str, int]:
        """The kernel's log as by kmsg(), and then its taint word (Documentation/admin-guide/tainted-kernels.rst)."""
        result = self.shell(f"kmsg {first}; status=$?; cat {TAINT} >&2; exit $status")
        *complaints, taint = result.stderr.split("\n")[:-1] or [""]
        if result.status not in (0, OVERWRITTEN) or not taint.isdecimal():
            raise InfrastructureError(f"the guest's log cannot be read: {' '.join(complaints) or result.stderr}")
        return result.stdout, int(taint)

    def release(self) -> str:
        """The running kernel's release, as uname -r gives it."""
        return self.read("/proc/sys/kernel/osrelease").strip()

    def build_id(self) -> str:
        """The running kernel's build id, in hexadecimal digits."""
        dump = self.run(["hexdump", "-ve", '1/1 "%02x"', "/sys/kernel/notes"], check=True).stdout
        return build_id(bytes.fromhex(dump))

    @contextmanager
    def _channel(self) -> Iterator[paramiko.Channel]:
        try:
            channel = self._transport.open_session(timeout=CONNECT_SECONDS * self.machine.patience)
        except BROKEN as error:
            self.machine.check()
            raise self.machine.hung(f"the guest does not answer any more: {error}") from error
        with channel:
            try:
                yield channel
            except BROKEN as error:  # it died before it had said yes to the command
                self.machine.check()
                raise self.machine.hung(f"the connection broke: {error!r}") from error


class _Watch:
    """The eyes on a guest while COMMAND runs in it: raises when it is dead, stuck or out of time."""

    def __init__(self, guest: Guest, command: str, timeout: float) -> None:
        self._guest = guest
        self._command = command
        self._timeout = timeout * guest.machine.patience
        self._begun, self._asked = guest.machine.stopwatch(), guest.machine.stopwatch()
        self._question: threading.Thread | None = None
        self._stuck: Stopwatch | None = None

    def look(self) -> None:
        """Raise GuestDied, GuestHung or InfrastructureError if there is reason to."""
        machine = self._guest.machine
        machine.check()
        if machine.lockup:
            self._stuck = self._stuck or machine.stopwatch()
            if self._stuck.exceeds(LOCKUP_GRACE * machine.patience):
                raise machine.hung(f"'{self._command}' does not end: {machine.lockup}")
        silence = self._silence()
        if silence > SILENCE_SECONDS * machine.patience:
            raise machine.hung(f"the guest did not answer for {silence:.0f} s of its time during '{self._command}'")
        if self._begun.exceeds(self._timeout):
            raise machine.hung(f"'{self._command}' did not end within {self._timeout:.0f} s of the guest's time")

    def _silence(self) -> float:
        """Seconds that the ssh server has owed an answer; puts it a question every now and then."""
        if self._question and self._question.is_alive():
            return self._asked.seconds()
        if self._asked.exceeds(QUESTION_SECONDS):
            self._asked.restart()
            self._question = threading.Thread(target=self._ask, daemon=True)
            self._question.start()
        return 0.0

    def _ask(self) -> None:
        """Any unknown request does: RFC 4254, section 4, has the server refuse it."""
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._guest._transport.global_request("keepalive@kernelgate")


@contextmanager
def connect(machine: Machine, key: Key) -> Iterator[Guest]:
    """The user space of MACHINE; the connection is closed with the context.

    Raises GuestDied, GuestHung or InfrastructureError when it does not answer.
    """
    transport = _transport(machine, key)
    try:
        yield Guest(machine, transport)
    finally:
        transport.close()


def _transport(machine: Machine, key: Key) -> paramiko.Transport:
    waiting, limit = machine.stopwatch(), CONNECT_SECONDS * machine.patience
    attempt = ATTEMPT_SECONDS * machine.patience
    while True:
        begun = time.monotonic()
        try:
            return _handshake(machine, key, attempt)
        except (paramiko.SSHException, OSError, EOFError) as error:
            machine.check()
            if waiting.exceeds(limit):
                raise machine.hung(f"the guest's ssh server does not answer: {error}") from error
            if time.monotonic() - begun >= attempt:
                attempt *= 2  # a host so busy that this was not enough
            time.sleep(POLL_SECONDS)


def _handshake(machine: Machine, key: Key, timeout: float) -> paramiko.Transport:
    connection = socket.create_connection(("127.0.0.1", machine.ssh_port), timeout)
    # Each message goes at once: QEMU's end may wait 40 ms before it acknowledges the one before.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(connection)
    try:
        transport.banner_timeout = transport.auth_timeout = timeout
        options = transport.get_security_options()
        options.kex, options.ciphers, options.digests, options.key_types = KEX, CIPHERS, DIGESTS, KEY_TYPES
        transport.start_client(timeout=timeout)
        transport.auth_publickey("root", key.private)
    except BaseException:
        transport.close()
        raise
    return transport


def _feed(channel: paramiko.Channel, stdin: bytes, watch: _Watch) -> None:
    channel.settimeout(POLL_SECONDS)
    while stdin:
        try:
            stdin = stdin[channel.send(stdin) :]
        except TimeoutError:
            watch.look()
    channel.shutdown_write()


def _collect(channel: paramiko.Channel, watch: _Watch) -> tuple[str, str]:
    """What CHANNEL's program prints on its two outputs until it has ended."""
    out, err = bytearray(), bytearray()
    ended = False
    while not ended:
        ended = channel.status_event.wait(POLL_SECONDS) and bool(channel.eof_received or channel.closed)
        while channel.recv_ready():
            out += channel.recv(CHUNK)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(CHUNK)
        watch.look()
    return out.decode(errors="replace"), err.decode(errors="replace")


def build_id(notes: bytes) -> str:
    """The build id in NOTES, ELF notes as /sys/kernel/notes has them (elf(5)): NT_GNU_BUILD_ID, 3, of "GNU".

    Raises InfrastructureError when there is none: a kernel linked without --build-id.
    """
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size]
        start = at + 12 + _aligned(name_size)
        if kind == 3 and name == b"GNU\0":
            return notes[start : start + size].hex()
        at = start + _aligned(size)
    raise InfrastructureError("the running kernel has no build id")


def _aligned(size: int) -> int:
    return (size + 3) // 4 * 4
