# SPDX-License-Identifier: GPL-2.0-only
"""KVM is believed only when a kernel has answered under it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from bare_guest import BareKernel

from kernelgate import accelerator
from kernelgate.accelerator import choose
from kernelgate.cache import Cache
from kernelgate.errors import GuestHung, InfrastructureError, UserError
from kernelgate.topology import find

HOST = "x86_64"


def open_kvm(monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: can if path == "/dev/kvm" else access(path, mode))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache, on a host that is x86_64 and has a KVM to open."""
    monkeypatch.setattr(accelerator.platform, "machine", lambda: HOST)
    open_kvm(monkeypatch, True)
    return Cache(tmp_path / "cache")


def chosen(cache: Cache, wanted: str, arch: str = HOST, name: str = "smp2") -> str:
    kernel = BareKernel(Path("/image"))
    kernel.arch = arch
    return choose(cast(Any, kernel), find(arch, name), Path("/initramfs"), wanted, cache)


class Trial:
    """In place of boot(), as no host has a KVM that works and one that does not: counts, and ends as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
        self.boots = 0
        self.error = error
        monkeypatch.setattr(accelerator, "boot", self.boot)

    @contextmanager
    def boot(self, what: Any, workdir: Path) -> Iterator[None]:
        self.boots += 1
        assert what.accel == "kvm"
        if self.error:
            raise self.error
        yield


def test_kernel_that_answers_is_asked_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(monkeypatch, None)
    assert [chosen(cache, "auto"), chosen(cache, "kvm"), chosen(Cache(cache.root), "auto")] == ["kvm"] * 3
    assert trial.boots == 1


@pytest.mark.parametrize("error", [GuestHung("said nothing", ""), InfrastructureError("failed to set MSR 0x10a")])
def test_kernel_that_does_not_answer_means_emulation(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trial = Trial(monkeypatch, error)
    assert [chosen(cache, "auto"), chosen(cache, "auto")] == ["tcg"] * 2
    with pytest.raises(UserError, match="no kernel answers under it: use --accel tcg"):
        chosen(cache, "kvm")
    assert trial.boots == 1


def test_emulation_is_not_tried(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(monkeypatch, None)
    assert chosen(cache, "tcg") == "tcg"
    assert trial.boots == 0


def test_foreign_kernel_is_emulated(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(monkeypatch, None)
    assert chosen(cache, "auto", "arm64") == "tcg"
    with pytest.raises(UserError, match="an arm64 kernel on an x86_64 host"):
        chosen(cache, "kvm", "arm64")
    assert trial.boots == 0


def test_machine_about_a_cpu_model_is_emulated(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator.platform, "machine", lambda: "aarch64")
    trial = Trial(monkeypatch, None)
    assert chosen(cache, "auto", "arm64", "llsc") == "tcg"
    assert chosen(cache, "auto", "arm64", "smp2") == "kvm"
    assert trial.boots == 1


def test_host_without_kvm(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    open_kvm(monkeypatch, False)
    assert chosen(cache, "auto") == "tcg"
    with pytest.raises(UserError, match="not there or not ours to open"):
        chosen(cache, "kvm")


def test_unknown_accelerator(cache: Cache) -> None:
    with pytest.raises(UserError, match="unknown accelerator 'kmv': did you mean kvm"):
        chosen(cache, "kmv")
