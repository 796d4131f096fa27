# SPDX-License-Identifier: GPL-2.0-only
"""QEMU for real, with a guest of a dozen instructions instead of a kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bare_guest import bare_boot, code, ready_boot

from kernelgate import machine
from kernelgate.errors import GuestDied, GuestHung, InfrastructureError, PassingTrouble, UserError
from kernelgate.machine import DEATH, LOCKUP, NO_NETWORK, READY, boot, program_counters, restore
from kernelgate.topology import VIRTIO_MEM_PATH, find

__all__ = ["code"]

PANIC = "[    1.5] Kernel panic - not syncing: Attempted to kill init!"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SILENCE_SECONDS", 0.15)


def test_booted_guest_has_a_port_and_its_console(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        assert guest.alive
        assert guest.ssh_port > 1023
        assert READY in guest.console()
        guest.check()
    assert not guest.alive


def test_restored_guests_stand_where_the_booted_one_stood(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        stood = guest.sample_cpus()
        snapshot = guest.snapshot(tmp_path / "snapshot")
        assert not guest.alive
    with restore(snapshot, tmp_path / "one") as one, restore(snapshot, tmp_path / "two") as two:
        assert one.sample_cpus() == two.sample_cpus() == stood
        assert one.ssh_port != two.ssh_port
        assert one.console() == ""


def mappings(guest: machine.Machine) -> set[str]:
    """How QEMU has mapped the guest's memory file, e.g. "rw-s"."""
    maps = Path(f"/proc/{guest._process.pid}/maps").read_text()
    return {line.split()[1] for line in maps.splitlines() if line.endswith("/memory0")}


def test_restored_guest_leaves_the_snapshot_as_it_is(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        assert mappings(guest) == {"rw-s"}, "shared: the file is the snapshot"
        snapshot = guest.snapshot(tmp_path / "snapshot")
    assert {path.name for path in snapshot.folder.iterdir()} == {"memory0", "state"}
    with restore(snapshot, tmp_path / "one") as guest:
        assert mappings(guest) == {"rw-p"}, "private: what the guest writes is its own"


def test_panic_while_booting_is_the_guest_s_death(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(GuestDied) as death:
        with boot(bare_boot(code, tmp_path, "r", f"first words\n{PANIC}\nlast words\n"), tmp_path / "boot"):
            pass
    assert death.value.reason.endswith("Kernel panic - not syncing: Attempted to kill init!")
    assert not isinstance(death.value, GuestHung)
    assert "first words" in death.value.console
    assert "last words" in death.value.console


def test_kernel_without_a_network_is_told_what_it_lacks(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CONFIG_PCI_HOST_GENERIC"):
        with boot(bare_boot(code, tmp_path, "s", f"[    1.0] {NO_NETWORK}\n"), tmp_path / "boot"):
            pass


def test_reset_without_a_word_is_the_guest_s_death(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(GuestDied, match="without a message; it printed nothing"):
        with boot(bare_boot(code, tmp_path, "r", ""), tmp_path / "boot"):
            pass


def test_second_banner_is_a_silent_reboot(code: bytes, tmp_path: Path) -> None:
    banner = "[    0.0] Linux version 7.2.13\n"
    text = f"{banner}[    0.1] {READY}\n{banner}"
    with boot(bare_boot(code, tmp_path, "s", text), tmp_path / "boot") as guest:
        with pytest.raises(GuestDied, match="rebooted"):
            for _ in range(100):
                guest.check()
                time.sleep(0.01)


def test_next_kernel_is_awaited_and_is_no_silent_reboot(code: bytes, tmp_path: Path) -> None:
    banner = "[    0.0] Linux version 7.2.13\n"
    text = f"[    0.1] {READY}\n{banner}{banner}[    0.2] {READY}\n"
    with boot(bare_boot(code, tmp_path, "d", text), tmp_path / "boot") as guest:
        assert guest.console().count(READY) == 1
        guest.next_kernel(guest.check)
        assert guest.console().count(READY) == 2


def test_next_kernel_that_does_not_come_is_a_hang(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        with pytest.raises(GuestHung, match="said nothing for"):
            guest.next_kernel(lambda: None)


def test_fault_of_the_emulator_is_not_the_guest_s_death(code: bytes, tmp_path: Path) -> None:
    text = f"[    0.6] Oops: int3: 0000 [#1] SMP\n{PANIC}\n"
    with pytest.raises(InfrastructureError, match=r"versions before 8\.1"):
        with boot(bare_boot(code, tmp_path, "r", text), tmp_path / "boot"):
            pass


LOCKED = f"[    0.1] {READY}\n[    9.0] watchdog: BUG: soft lockup - CPU#1 stuck for 11s! [insmod:61]\n"


def awaited_lockup(guest: machine.Machine) -> str | None:
    """The lockup that GUEST is going to tell of."""
    for _ in range(100):
        guest.check()
        if guest.lockup:
            break
        time.sleep(0.01)
    return guest.lockup


def test_lockup_is_noted(code: bytes, tmp_path: Path) -> None:
    with boot(bare_boot(code, tmp_path, "s", LOCKED), tmp_path / "boot") as guest:
        assert "CPU#1 stuck for 11s" in (awaited_lockup(guest) or "")


def test_lockup_of_a_guest_that_the_host_starved_is_trouble_to_try_again(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernelgate.stopwatch.SETTLED_SECONDS", 0.0)
    monkeypatch.setattr("kernelgate.stopwatch.Stopwatch.share", lambda self: 0.4)
    with boot(bare_boot(code, tmp_path, "s", LOCKED), tmp_path / "boot") as guest:
        with pytest.raises(PassingTrouble, match=r"too busy .* CPU#1 stuck for 11s"):
            awaited_lockup(guest)


def test_emulated_cpus_take_turns_while_booting_only(code: bytes, tmp_path: Path) -> None:
    def threads(guest: machine.Machine) -> str:
        return (guest.workdir / "qemu.sh").read_text().split("thread=")[1].split()[0]

    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        assert threads(guest) == "single"
        snapshot = guest.snapshot(tmp_path / "snapshot")
    with restore(snapshot, tmp_path / "one") as guest:
        assert threads(guest) == "multi"


def test_silent_guest_is_hung_and_says_where(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(GuestHung, match="said nothing for") as hang:
        with boot(bare_boot(code, tmp_path, "s", ""), tmp_path / "boot"):
            pass
    assert "CPU 0: 0000000040" in str(hang.value), "the address of the loop, where QEMU loads kernels"
    assert "printed nothing" in str(hang.value)


def test_guest_stuck_in_the_middle_of_a_line_shows_it(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(GuestHung, match="half a li"):
        with boot(bare_boot(code, tmp_path, "s", "half a li"), tmp_path / "boot"):
            pass


def test_killed_qemu_is_not_the_guest_s_death(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        os.kill(guest._process.pid, signal.SIGKILL)
        guest._process.wait(5)
        with pytest.raises(InfrastructureError, match=r"status -9\) without a kernel message"):
            guest.check()


def test_qemu_that_does_not_start_shows_its_own_words(code: bytes, tmp_path: Path) -> None:
    what = ready_boot(code, tmp_path)
    what.kernel.image.unlink()
    with pytest.raises(InfrastructureError, match=r"could not load kernel|could not open"):
        with boot(what, tmp_path / "boot"):
            pass


def test_torn_snapshot_is_an_infrastructure_error(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        snapshot = guest.snapshot(tmp_path / "snapshot")
    state = snapshot.folder / "state"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InfrastructureError, match="could not read the snapshot"):
        with restore(snapshot, tmp_path / "one"):
            pass


def test_snapshot_that_cannot_be_written_is_an_infrastructure_error(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "STATE", "no/such/folder")
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        with pytest.raises(InfrastructureError, match="could not write the snapshot to"):
            guest.snapshot(tmp_path / "snapshot")


def test_paths_with_commas_and_spaces(code: bytes, tmp_path: Path) -> None:
    odd = tmp_path / "a, b"
    odd.mkdir()
    with boot(ready_boot(code, odd), odd / "boot") as guest:
        snapshot = guest.snapshot(odd / "snapshot")
    with restore(snapshot, odd / "one") as guest:
        assert guest.alive


def test_virtio_mem_is_asked_for_another_size(code: bytes, tmp_path: Path) -> None:
    """The bare guest has no driver: nothing is ever plugged, but a restored QEMU takes the request."""
    what = replace(ready_boot(code, tmp_path), spec=find("arm64", "virtio-mem"))
    with boot(what, tmp_path / "boot") as guest:
        snapshot = guest.snapshot(tmp_path / "snapshot")
    with restore(snapshot, tmp_path / "one") as guest:
        asked = guest._command("qom-get", path=VIRTIO_MEM_PATH, property="requested-size")
        assert asked == 192 << 20, "what the machine was started with"
        guest.resize_memory(64)
        assert guest._command("qom-get", path=VIRTIO_MEM_PATH, property="requested-size") == 64 << 20
        assert guest.plugged_memory() == 0


def test_memory_module_without_a_slot_is_an_infrastructure_error(code: bytes, tmp_path: Path) -> None:
    with boot(ready_boot(code, tmp_path), tmp_path / "boot") as guest:
        with pytest.raises(InfrastructureError, match="does not take 'device_add'"):
            guest.plug_memory(128)


PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from bare_guest import ready_boot
from kernelgate.machine import boot
folder = Path({folder!r})
with boot(ready_boot((folder / "code").read_bytes(), folder), folder / "boot") as guest:
    print(guest._process.pid, flush=True)
    time.sleep(60)
"""


def test_no_qemu_outlives_a_killed_parent(code: bytes, tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(code)
    tests = Path(__file__).parent
    program = PARENT.format(tests=str(tests), folder=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(tests.parents[1])}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    qemu = Path("/proc") / parent.stdout.readline().decode().strip()
    assert (qemu / "cmdline").read_bytes()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(500):
        if not qemu.exists() or b"Z (zombie)" in (qemu / "status").read_bytes():
            return
        time.sleep(0.01)
    os.kill(int(qemu.name), signal.SIGKILL)
    raise AssertionError("QEMU still runs five seconds after its parent was killed")


@pytest.mark.parametrize(
    "line",
    [
        "[    4.821217] Kernel panic - not syncing: sysrq triggered crash",
        "[    4.473969] reboot: Restarting system",
    ],
)
def test_death_patterns(line: str) -> None:
    assert DEATH.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 11s! [insmod:61]",
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
        "watchdog: Watchdog detected hard LOCKUP on cpu 0",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 22 jiffies s: 57 root: 0x2/.",
        "INFO: task insmod:61 blocked for more than 20 seconds.",
    ],
)
def test_lockup_patterns(line: str) -> None:
    assert LOCKUP.search(f"[   15.880988] {line}")


def test_program_counters_of_both_architectures() -> None:
    x86 = (
        "\r\nCPU#0\r\nRAX=0000000000000001\r\nRIP=ffffffff8168a255 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 HLT=1\r\n"
        "\r\nCPU#1\r\nRAX=0000000000000000\r\nRIP=ffffffffa0001022 RFL=00000002 [-------] CPL=0 II=0 A20=1 HLT=0\r\n"
    )
    assert program_counters(x86) == {"0": "ffffffff8168a255 (idle)", "1": "ffffffffa0001022"}
    arm64 = "\r\nCPU#0\r\n PC=ffff8000804880f0 X00=0000000000000000 X01=0000000000000000\r\nX02=0000000000000000\r\n"
    assert program_counters(arm64) == {"0": "ffff8000804880f0"}
