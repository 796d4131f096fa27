# SPDX-License-Identifier: GPL-2.0-only
"""Which test runs on which machine: pure, decided before there is a kernel.

A test names the machines that reach what it claims (a CPU model, a NUMA layout);
--arch and --machine narrow or replace that choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernelgate.errors import UserError, unknown

ARCHES = ("x86_64", "arm64")


@dataclass(frozen=True)
class Target:
    """One machine of one architecture, e.g. ("arm64", "lse")."""

    arch: str
    machine: str

    def __str__(self) -> str:
        return f"{self.arch}-{self.machine}"


def parse_arches(text: str) -> tuple[str, ...]:
    """ "x86_64,arm64" as a tuple; raises UserError for an unknown architecture."""
    arches = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for arch in arches:
        if arch not in ARCHES:
            raise unknown("architecture", arch, ARCHES)
    if not arches:
        raise UserError(f"--arch names no architecture: choose from {', '.join(ARCHES)}")
    return arches


def built(wanted: Sequence[str], builds: Mapping[str, str]) -> tuple[str, ...]:
    """The architectures of BUILDS (build folder to architecture), each among WANTED and built once.

    Raises UserError for a build folder that cannot be meant.
    """
    for folder, arch in builds.items():
        if arch not in wanted:
            raise UserError(f"{folder} is a build for {arch}: add --arch {arch}")
    if len(set(builds.values())) < len(builds):
        raise UserError(f"two build folders are for the same architecture: name one of {', '.join(builds)}")
    return tuple(builds.values())


def targets(
    arches: Sequence[str],
    own: Mapping[str, Sequence[str]],
    wanted: Sequence[str],
    machines: Mapping[str, Iterable[str]],
) -> tuple[Target, ...]:
    """The targets of one test.

    OWN is what the test names per architecture; WANTED is --machine, which replaces it;
    MACHINES is what exists per architecture. A wanted machine that exists on another
    architecture only yields no target here.
    """
    chosen = {arch: list(wanted) or list(own.get(arch, ())) for arch in arches}
    return tuple(Target(arch, name) for arch in arches for name in chosen[arch] if name in set(machines[arch]))


def check_machines(wanted: Sequence[str], arches: Sequence[str], machines: Mapping[str, Iterable[str]]) -> None:
    """Raise UserError for a machine of --machine that none of ARCHES has."""
    here = {name for arch in arches for name in machines[arch]}
    for name in wanted:
        if name in here:
            continue
        others = [arch for arch in machines if name in set(machines[arch])]
        if others:
            raise UserError(f"machine '{name}' is one of {', '.join(others)}: add --arch {others[0]}")
        raise unknown("machine", name, here)
