# SPDX-License-Identifier: GPL-2.0-only
"""The tree that QEMU writes and fdtput adds to, read back by fdtget."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from bare_guest import code, ready_boot

from kernelgate import command, devicetree
from kernelgate.errors import InfrastructureError
from kernelgate.machine import boot, restore
from kernelgate.topology import DEVICE_TREE, Boot, find, qemu_argv

__all__ = ["code"]


def nvdimm(code: bytes, folder: Path) -> Boot:
    return replace(ready_boot(code, folder), spec=find("arm64", "nvdimm"))


def prop(tree: Path, kind: str, node: str, name: str) -> str:
    argv = ["fdtget", "-t", kind, tree, node, name]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_persistent_memory_ends_the_machine_s_memory(code: bytes, tmp_path: Path) -> None:
    """512 MiB from 1 GiB on, the last 128 of them persistent: 128 MiB from 0x58000000 on."""
    devicetree.make(nvdimm(code, tmp_path), tmp_path)
    tree = tmp_path / DEVICE_TREE
    assert prop(tree, "s", "/pmem@58000000", "compatible") == "pmem-region"
    assert prop(tree, "x", "/pmem@58000000", "reg") == "0 58000000 0 8000000"
    assert prop(tree, "s", "/chosen", "stdout-path"), "what QEMU says of the machine is still there"


def test_kernel_is_kept_out_of_persistent_memory(code: bytes, tmp_path: Path) -> None:
    assert "mem=384M" in nvdimm(code, tmp_path).parameters.split()


def test_machine_that_qemu_describes_needs_no_tree(code: bytes, tmp_path: Path) -> None:
    what = ready_boot(code, tmp_path)
    devicetree.make(what, tmp_path)
    assert not (tmp_path / DEVICE_TREE).exists()
    assert "-dtb" not in qemu_argv(what, tmp_path, shared=True)
    assert devicetree.script(what, tmp_path) == ""


def test_snapshot_keeps_its_tree(code: bytes, tmp_path: Path) -> None:
    with boot(nvdimm(code, tmp_path), tmp_path / "boot") as guest:
        snapshot = guest.snapshot(tmp_path / "snapshot")
    assert {path.name for path in snapshot.folder.iterdir()} == {DEVICE_TREE, "memory0", "state"}
    with restore(snapshot, tmp_path / "one") as guest:
        assert guest.alive


def test_what_a_person_runs_is_what_the_gate_runs(code: bytes, tmp_path: Path) -> None:
    script = devicetree.script(nvdimm(code, tmp_path), tmp_path)
    subprocess.run(["sh", "-c", f"{script}true"], check=True, capture_output=True)
    assert prop(tmp_path / DEVICE_TREE, "x", "/pmem@58000000", "reg") == "0 58000000 0 8000000"


def test_missing_compiler_is_named_with_its_package(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.shutil, "which", lambda program: None)
    with pytest.raises(InfrastructureError, match="fdtput is not installed: apt install device-tree-compiler"):
        devicetree.make(nvdimm(code, tmp_path), tmp_path)
