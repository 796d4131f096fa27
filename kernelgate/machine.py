# SPDX-License-Identifier: GPL-2.0-only
"""A running QEMU: booted once, then restored from a snapshot for each test.

The guest's memory is a file. The boot maps it shared; the snapshot is that file and
the state of the devices beside it (QEMU's x-ignore-shared migration capability,
docs/devel/migration.rst); a restored guest maps the file privately, so that any
number of them start from it at once, in the time that the devices' state takes.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase
from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from kernelgate import command, devicetree
from kernelgate.errors import EmulatorFault, GuestDied, GuestHung, InfrastructureError, StarvedGuest, UserError
from kernelgate.stopwatch import Pulse, Stopwatch, cpu_seconds
from kernelgate.topology import VIRTIO_MEM_PATH, Boot, escaped, memory_files, qemu_argv

READY = "kernelgate: guest ready"
"""What images/init says in the kernel's log when the ssh server has been started."""

NO_NETWORK = "kernelgate: guest has no network card"
"""What it says instead where there is no eth0 to reach it by."""

DEATH = re.compile(r"Kernel panic - not syncing: .*|reboot: Restarting system.*|reboot: Power down.*")
EMULATOR_FAULT = re.compile(r"Oops: int3: .*")
"""What the fault that boot() speaks of looks like, if it strikes a restored guest after all."""
LOCKUP = re.compile(
    r"watchdog: (?:BUG: soft lockup|Watchdog detected hard LOCKUP|CPU\d+: Watchdog detected hard LOCKUP).*"
    r"|rcu: INFO: rcu_\w+ (?:self-)?detected (?:expedited )?stall.*"
    r"|INFO: task .* blocked for more than \d+ seconds.*"
)
"""After one of these the guest may come back, so that a waiter gives it some grace first."""

STATE = "state"
QEMU_LOG = "qemu.log"
CONSOLE_LOG = "console.log"
SHELL = "kernelgate.shell"
"""The word on the kernel's command line that has images/init open a shell on the console."""
WITHOUT_MEMORY = [{"capability": "x-ignore-shared", "state": True}]

QMP_SECONDS = 20.0
SNAPSHOT_SECONDS = 60.0
REST_SECONDS = 0.05
REST_SHARE = 0.25
"""A guest is at rest that uses less than this share of a processor for so long."""
REST_LIMIT = 1.0
"""A guest that never rests is a slower snapshot, and no worse one."""
END_SECONDS = 3.0
"""How long a panicked guest may take to print the rest and to end QEMU."""
POLL_SECONDS = 0.005
LOAD_POLL_SECONDS = 0.001
QUIET_POLL_SECONDS = 0.5
PATIENCE: Mapping[str, float] = MappingProxyType({"kvm": 1.0, "tcg": 4.0})
"""How many times longer anything may take under an accelerator than the seconds named here and in guest.py."""
SILENCE_SECONDS = 4.0
"""How long a booting kernel may print nothing. Emulated on an idle host the longest
pause is half a second."""
BOOT_SECONDS = 45.0


@dataclass(frozen=True)
class Snapshot:
    """A guest at rest: FOLDER holds its memory and the state of its devices."""

    boot: Boot
    folder: Path


class Machine:
    """A running QEMU; made by boot() and restore(), which also end it.

    ssh_port is on the loopback address; console_log is all that the guest has
    printed so far; lockup is the kernel's own complaint about a stuck CPU or task,
    if check() has seen one.
    """

    def __init__(self, boot: Boot, workdir: Path, process: subprocess.Popen[bytes], qmp: QEMUMonitorProtocol) -> None:
        self.boot = boot
        self.workdir = workdir
        self.console_log = workdir / CONSOLE_LOG
        self.ssh_port = 0
        self.lockup: str | None = None
        self._console_size = 0
        self._kernels = 1
        self._process = process
        self._pulse = Pulse(process.pid)
        self._qmp = qmp

    @property
    def alive(self) -> bool:
        """Whether QEMU is still there."""
        return self._process.poll() is None

    def stopwatch(self) -> Stopwatch:
        """A clock for waiting on this guest."""
        return Stopwatch(self._process.pid)

    @property
    def patience(self) -> float:
        """By how much deadlines are to be stretched for this machine's accelerator and its kernel's instrumentation."""
        return PATIENCE[self.boot.accel] * self.boot.kernel.slowness

    def console(self) -> str:
        """All that the guest has printed on its console so far."""
        return _text(self.console_log)

    def check(self) -> None:
        """Raise GuestDied if the guest's kernel has died, InfrastructureError if only QEMU has.

        Raises StarvedGuest for a lockup on a host that kept the guest from running: nobody can tell whose fault it is.
        """
        self._pulse.beat()
        alive = self.alive  # asked first: what a dying QEMU still prints is then in the log
        console = self.console() if self._has_printed() or not alive else ""
        if self.boot.accel == "tcg" and EMULATOR_FAULT.search(console):
            raise EmulatorFault(
                "QEMU has run code that the kernel had replaced (Oops: int3), as versions before 8.1 may"
            )
        if DEATH.search(console):
            self._await_end()
            console = self.console()  # again: the line may have been read while it was written
            raise GuestDied(f"the guest died: {_match(DEATH, console)}", console)
        if console.count("] Linux version ") > self._kernels:
            raise GuestDied("the guest rebooted without a message", console)
        if not alive:
            self._raise_lost(console)
        if stuck := LOCKUP.search(console):
            self._note_lockup(stuck[0].strip())

    def _note_lockup(self, complaint: str) -> None:
        if not self.lockup and self._pulse.starved():
            raise StarvedGuest(f"the host was too busy for its guest, which said: {complaint}; run with less beside it")
        self.lockup = complaint

    def _has_printed(self) -> bool:
        """Whether the console has grown since the last call: reading all of it at each poll is dear."""
        size = self.console_log.stat().st_size if self.console_log.exists() else 0
        grown, self._console_size = size != self._console_size, size
        return grown

    def hung(self, reason: str) -> GuestHung:
        """The error to raise for a guest that does not answer, with what its CPUs are doing.

        Raises GuestDied when it has ended after all, and InfrastructureError when it
        cannot answer because QEMU has stopped it.
        """
        try:
            status = self._status()
        except InfrastructureError:
            self._await_end()
            self.check()  # it does not answer because it has just ended
            raise
        if status != "running":
            raise InfrastructureError(f"QEMU stopped the guest: {status}\n{_text(self.workdir / QEMU_LOG)}")
        lines = [reason, *(f"  {line}" for line in self.sample_cpus())]
        return GuestHung("\n".join(lines), self.console())

    def sample_cpus(self) -> list[str]:
        """One line a CPU: where it stood at three moments, and whether it was idle.

        Addresses are the kernel's own; with nokaslr they are those of vmlinux.
        """
        samples = []
        for moment in range(3):
            time.sleep(0.2 if moment else 0.0)
            samples.append(program_counters(self._monitor("info registers -a")))
        names = sorted({name for sample in samples for name in sample})
        return [f"CPU {name}: " + ", ".join(sample.get(name, "?") for sample in samples) for name in names]

    def next_kernel(self, start: Callable[[], object]) -> None:
        """Call START, which has the guest boot another kernel by kexec, and wait until that one is ready.

        Raises as boot() does. Close ssh connections afterwards: their other end is gone.
        """
        self._kernels += 1
        seen = self.console_log.stat().st_size
        start()
        _await_ready(self, seen)

    def plug_memory(self, mebibytes: int) -> None:
        """Plug a memory module of so many MiB into a running machine that has room for it (MachineSpec.room).

        Raises InfrastructureError where QEMU has no slot or no way to tell the guest.
        """
        self._command("object-add", **{"qom-type": "memory-backend-ram", "id": "module", "size": mebibytes << 20})
        self._command("device_add", driver="pc-dimm", id="dimm", memdev="module")

    def resize_memory(self, mebibytes: int) -> None:
        """Ask the guest to have so many MiB of its virtio-mem device plugged; the guest does it in its own time."""
        self._command("qom-set", path=VIRTIO_MEM_PATH, property="requested-size", value=mebibytes << 20)

    def plugged_memory(self) -> int:
        """How many MiB of its virtio-mem device the guest has plugged."""
        size: Any = self._command("qom-get", path=VIRTIO_MEM_PATH, property="size")
        return int(size) >> 20

    def snapshot(self, folder: Path) -> Snapshot:
        """Put this guest to rest in FOLDER (made here) and end QEMU.

        Close ssh connections first: they would be half-open in every restored guest.
        Raises InfrastructureError when QEMU cannot write its state.
        """
        folder.mkdir(parents=True)
        self._await_rest()
        self._command("stop")
        self._command("migrate-set-capabilities", capabilities=WITHOUT_MEMORY)
        self._command("migrate", uri=f"exec:cat > {shlex.quote(str(folder / STATE))}")
        self._await_migration(folder)
        self._command("quit")
        self._process.wait(QMP_SECONDS)
        for name in memory_files(self.boot):
            (self.workdir / name).rename(folder / name)
        return Snapshot(self.boot, folder)

    def _await_rest(self) -> None:
        """Let the guest finish what it has begun (a connection's end): each restored guest would have to instead."""
        deadline = time.monotonic() + REST_LIMIT
        while time.monotonic() < deadline:
            before = cpu_seconds(self._process.pid)
            time.sleep(REST_SECONDS)
            if cpu_seconds(self._process.pid) - before < REST_SECONDS * REST_SHARE:
                return

    def _await_migration(self, folder: Path) -> None:
        deadline = time.monotonic() + SNAPSHOT_SECONDS
        state: Any = {}
        while state.get("status") != "completed":
            if state.get("status") == "failed":
                why = state.get("error-desc", "no room left, perhaps")
                raise InfrastructureError(f"QEMU could not write the snapshot to {folder}: {why}")
            if time.monotonic() > deadline:
                raise InfrastructureError(f"QEMU did not finish the snapshot within {SNAPSHOT_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
            state = self._command("query-migrate")

    def _load(self, state: Path) -> None:
        """Have this QEMU, whose standard input is STATE, read it, and let the guest run."""
        self._command("migrate-set-capabilities", capabilities=WITHOUT_MEMORY)
        deadline = time.monotonic() + SNAPSHOT_SECONDS
        try:
            self._command("migrate-incoming", uri="fd:0")
            while self._status() == "inmigrate":
                if time.monotonic() > deadline:
                    raise InfrastructureError("no end in time")
                time.sleep(LOAD_POLL_SECONDS)
            self._command("cont")
        except InfrastructureError as error:  # QEMU ends at a state that it cannot read
            raise InfrastructureError(f"QEMU could not read the snapshot {state}: {error}") from error

    def _status(self) -> str:
        status: Any = self._command("query-status")
        return str(status["status"])

    def _command(self, name: str, **arguments: Any) -> object:
        try:
            return self._qmp.cmd(name, **arguments)
        except (QMPError, TimeoutError, OSError) as error:
            raise InfrastructureError(
                f"QEMU does not take '{name}': {error}\n{_text(self.workdir / QEMU_LOG)}"
            ) from error

    def _monitor(self, line: str) -> str:
        return str(self._command("human-monitor-command", **{"command-line": line}))

    def _find_port(self) -> None:
        """Ask QEMU which free port it took, so that two runs at once cannot collide."""
        found = re.search(r"HOST_FORWARD\]\s+\S+\s+127\.0\.0\.1\s+(\d+)", self._monitor("info usernet"))
        if not found:
            raise InfrastructureError("QEMU forwards no port to the guest's ssh server")
        self.ssh_port = int(found[1])

    def _await_end(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def _raise_lost(self, console: str) -> None:
        status, messages = self._process.returncode, _text(self.workdir / QEMU_LOG).strip()
        # A triple fault or a reset by the kernel is, with -no-reboot, QEMU's regular end.
        if status == 0 and not messages:
            raise GuestDied("the guest reset itself without a message", console)
        if status == -signal.SIGBUS:  # what a file's page gets for which there is no room
            messages = f"(no room for the guest's memory in {self.workdir.parent}?) {messages}"
        raise InfrastructureError(f"QEMU ended (status {status}) without a kernel message {messages}".rstrip())


def program_counters(registers: str) -> dict[str, str]:
    """Where each CPU stands, by its number, from the monitor's `info registers -a` (x86_64 and arm64)."""
    found: dict[str, str] = {}
    for block in re.split(r"^CPU#", registers, flags=re.MULTILINE)[1:]:
        number = block.split(None, 1)[0]
        counter = re.search(r"\bR?[IP][PC] ?=([0-9a-f]{8,16})", block)
        if counter:
            idle = " (idle)" if re.search(r"\bHLT=1", block) else ""
            found[number] = counter[1] + idle
    return found


@contextmanager
def boot(what: Boot, workdir: Path) -> Iterator[Machine]:
    """A guest booted from nothing, ready for ssh; QEMU ends with the context.

    Emulated CPUs take turns here, and run at once only in restored guests. A booting
    kernel rewrites its own code (jump labels), and QEMU before 8.1 may go on with what it
    has translated of the old code at that moment (QEMU commit deba78709ae8): an "int3"
    oops in about one of a hundred boots. It is faster, too, by a fifth of a second.

    WORKDIR, made here, gets the console, QEMU's own messages and its command line.
    Raises GuestDied or GuestHung when the kernel does not come up, UserError for one
    that has no network, and InfrastructureError when it is QEMU that fails.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    devicetree.make(what, workdir)
    with _qemu(what, workdir, workdir, "-S") as machine:
        machine._command("cont")  # not before we listen: a guest may die at once
        _await_ready(machine)
        machine._find_port()
        yield machine


@contextmanager
def restore(snapshot: Snapshot, workdir: Path) -> Iterator[Machine]:
    """A guest that goes on where SNAPSHOT was taken, with a new ssh port and an empty console log.

    Any number may run from one snapshot at once. WORKDIR as in boot().
    Raises InfrastructureError when QEMU fails: the kernel has proved itself before.
    """
    state = snapshot.folder / STATE
    with _qemu(snapshot.boot, workdir, snapshot.folder, "-incoming", "defer", state=state) as machine:
        machine._find_port()
        machine._load(state)
        yield machine
        machine._process.kill()  # it has nothing to tidy up


@contextmanager
def _qemu(what: Boot, workdir: Path, memory: Path, *more: str, state: Path = Path(os.devnull)) -> Iterator[Machine]:
    """A QEMU under control, its guest's memory in the files of the folder MEMORY, its standard input the file STATE.

    The console is a file, as a socket makes QEMU wait for a reader that is late, and
    a socket with a log file besides has it log a character again for each retry.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    console = f"file,id=console,path={escaped(workdir / CONSOLE_LOG)}"
    booting = memory == workdir
    argv = [*qemu_argv(what, memory, shared=booting, in_turn=booting), *more]
    argv += ["-chardev", console, "-serial", "chardev:console"]
    (workdir / "qemu.sh").write_text(shlex.join(argv) + "\n")
    with ExitStack() as stack:
        ours, theirs = stack.enter_context(_socket_pair())
        argv += ["-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control"]
        messages = stack.enter_context((workdir / QEMU_LOG).open("wb"))
        entry = stack.enter_context(state.open("rb"))
        started = command.start(argv, stdin=entry, stdout=messages, stderr=messages, pass_fds=[theirs.fileno()])
        process = stack.enter_context(started)
        theirs.close()  # so that QEMU's end is the socket's
        yield Machine(what, workdir, process, stack.enter_context(_qmp(ours, process, workdir / QEMU_LOG)))


@contextmanager
def _qmp(end: socket.socket, process: subprocess.Popen[bytes], log: Path) -> Iterator[QEMUMonitorProtocol]:
    # A loop of its own: a machine that was started in one thread is used in another one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    qmp = QEMUMonitorProtocol(end)
    qmp.settimeout(QMP_SECONDS)
    try:
        qmp.connect()
    except (QMPError, OSError) as error:
        process.wait(QMP_SECONDS)
        raise InfrastructureError(f"QEMU did not start (status {process.returncode}): {_text(log).strip()}") from error
    try:
        yield qmp
    finally:
        with suppress(QMPError, OSError, EOFError):
            qmp.close()
        loop.close()


@contextmanager
def _socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets: no name in a file system, no port, nobody else can get hold of them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class _Console(SpawnBase):  # type: ignore[type-arg]  # generic in its stubs only
    """pexpect on a console's log file; its end is the file's end once QEMU has ended."""

    def __init__(self, machine: Machine, seen: int) -> None:
        super().__init__()
        self._machine = machine
        self._file = machine.console_log.open("rb")
        self._file.seek(seen)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """Up to SIZE bytes. Raises TIMEOUT after TIMEOUT seconds without any, and EOF."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            alive = self._machine.alive
            data = self._file.read(size)
            if data:
                return data
            if not alive:
                raise EOF("QEMU has ended")
            if deadline is not None and time.monotonic() > deadline:
                raise TIMEOUT("nothing on the console")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _await_ready(machine: Machine, seen: int = 0) -> None:
    """Read the console from byte SEEN on until the guest says that it is ready; see boot() for what is raised."""
    silence, limit = SILENCE_SECONDS * machine.patience, BOOT_SECONDS * machine.patience
    booting, quiet = machine.stopwatch(), machine.stopwatch()
    with closing(_Console(machine, seen)) as console:
        while not booting.exceeds(limit):
            event = console.expect([b"\n", EOF, TIMEOUT], timeout=QUIET_POLL_SECONDS)
            line = bytes(console.before or b"").decode(errors="replace")
            if READY in line:
                return
            if NO_NETWORK in line:
                raise UserError(
                    "the kernel finds no network card: build it with CONFIG_VIRTIO_NET, CONFIG_VIRTIO_PCI"
                    " and on arm64 CONFIG_PCI_HOST_GENERIC, as kconfigs/network.config has it"
                )
            if event == 0:
                quiet.restart()
            if quiet.exceeds(silence):
                raise machine.hung(f"the booting kernel said nothing for {silence:.0f} s of its time")
            if event == 1 or DEATH.search(line):
                machine.check()
    raise machine.hung(f"the kernel was still booting after {limit:.0f} s")


def attach(what: Boot, workdir: Path) -> int:
    """Boot WHAT on this process's terminal, with a shell on its console; returns QEMU's exit status.

    Ctrl-A x ends it, Ctrl-A c changes between the console and QEMU's monitor.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    devicetree.make(what, workdir)
    shell = replace(what, append=f"{what.append} {SHELL}")
    console = "stdio,id=console,mux=on,signal=off"
    argv = [*qemu_argv(shell, workdir, shared=True), "-chardev", console, "-serial", "chardev:console"]
    with command.start([*argv, "-mon", "chardev=console,mode=readline"], stdin=None, stdout=None, stderr=None) as qemu:
        return qemu.wait()


def _match(pattern: re.Pattern[str], text: str) -> str:
    """What of TEXT matches PATTERN, without the white space around it; "" for nothing."""
    found = pattern.search(text)
    return found[0].strip() if found else ""


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
