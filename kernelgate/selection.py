# SPDX-License-Identifier: GPL-2.0-only
"""Which test runs on which machine with which kernel: pure, decided before there is a kernel.

A test names the machines that reach what it claims (a CPU model, a NUMA layout) and the
configurations in which it says something; --arch, --machine and --config narrow or
replace that choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kernelgate.errors import UserError, unknown

ARCHES = ("x86_64", "arm64")

DEFAULT_CONFIG = "debug_vm"
"""The configuration of a test that names none, and the one that goes without saying."""

AS_FOUND = "as-found"
"""What stands for the configuration of a kernel that was built elsewhere (--kernel-build)."""

ALL = "all"
"""The word of --config for every configuration that each test names."""


@dataclass(frozen=True, order=True)
class Flavour:
    """What tells the kernels of one run apart: architecture and configuration, e.g. ("arm64", "lockdep")."""

    arch: str
    config: str = DEFAULT_CONFIG

    def __str__(self) -> str:
        return f"{self.arch} {self.config}"


@dataclass(frozen=True)
class Target:
    """One machine of one architecture with one configuration of its kernel, e.g. ("arm64", "lse", "debug_vm")."""

    arch: str
    machine: str
    config: str = DEFAULT_CONFIG

    @property
    def flavour(self) -> Flavour:
        """The kernel that runs there."""
        return Flavour(self.arch, self.config)

    def __str__(self) -> str:
        return f"{self.arch}-{self.machine}" + (f"-{self.config}" if self.config != DEFAULT_CONFIG else "")


SOURCES = Target("sources", "tree")
"""What a test runs on that reads the patched tree and needs no kernel."""


@dataclass(frozen=True)
class Configuration:
    """A kernel configuration by its name: what it consists of, and where it can run.

    common are the fragments that it shares with all others, but for the options left_out;
    fragments its own; arches those that can be built so; machines those it boots on and
    bases the kernels that have what it asks for (as "6.1"), none for all.
    """

    name: str
    common: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    fragments: tuple[str, ...] = ()
    arches: tuple[str, ...] = ARCHES
    machines: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Own:
    """What a test says of where it runs.

    machines by architecture; configs, of which a plain run takes the default one or else
    the first; excluded are the configurations in which it makes no sense, with the reason.
    """

    machines: Mapping[str, Sequence[str]]
    configs: tuple[str, ...] = (DEFAULT_CONFIG,)
    excluded: Mapping[str, str] = field(default_factory=dict)


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


def parse_configs(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """ "debug_vm,lockdep" as a tuple; of a configuration put together by "+", each part must be KNOWN or a file.

    Raises UserError for an unknown configuration.
    """
    configs = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    names = set(known)
    for part in (part for config in configs for part in config.split("+")):
        if part not in names and "/" not in part and not part.endswith(".config"):
            raise unknown("configuration", part, names)
    if not configs:
        raise UserError(f"--config names no configuration: choose from {', '.join(sorted(names))}")
    return configs


def configs_of(own: Own, wanted: Sequence[str]) -> tuple[str, ...]:
    """The configurations that a test runs in.

    One of those that it names, the default one if it can be, so that a plain run needs few kernels;
    where WANTED (--config) names some, those; the word "all" there means all that the test names.
    """
    if not wanted:
        return (DEFAULT_CONFIG,) if DEFAULT_CONFIG in own.configs else own.configs[:1]
    return tuple(dict.fromkeys(name for word in wanted for name in (own.configs if word == ALL else (word,))))


def targets(
    arches: Sequence[str],
    own: Mapping[str, Sequence[str]],
    wanted: Sequence[str],
    machines: Mapping[str, Iterable[str]],
    configs: Sequence[Configuration] = (Configuration(DEFAULT_CONFIG),),
) -> tuple[Target, ...]:
    """The targets of one test.

    OWN is what the test names per architecture; WANTED is --machine, which replaces it;
    MACHINES is what exists per architecture; CONFIGS are the test's configurations. A wanted
    machine that exists on another architecture only yields no target here. A configuration that
    boots on machines of its own has the test on those.
    """
    found: dict[Target, None] = {}
    for arch in arches:
        for config in (config for config in configs if arch in config.arches):
            chosen = list(wanted) or (config.machines if own.get(arch) else ()) or list(own.get(arch, ()))
            possible = set(machines[arch]) & set(config.machines or machines[arch])
            found |= {Target(arch, name, config.name): None for name in chosen if name in possible}
    return tuple(found)


def elsewhere(own: Mapping[str, Sequence[str]], arches: Sequence[str]) -> tuple[Target, str] | None:
    """A target of a test that has none of those asked for, ARCHES among them, and why it is skipped, with the remedy.

    OWN is what the test names per architecture; None where that is nothing at all.
    """
    homes = {arch: machines for arch, machines in own.items() if machines}
    others = [arch for arch in homes if arch not in arches]
    if others:
        return Target(others[0], homes[others[0]][0]), f"is for {' and '.join(homes)}: run with --arch {others[0]}"
    for arch in homes:
        return Target(arch, homes[arch][0]), "no machine of its own has that configuration: run without --config"
    return None


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


def check_configs(configs: Sequence[Configuration], arches: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise UserError for a configuration of CONFIGS that no machine of WANTED (--machine) and ARCHES can run."""
    for config in configs:
        if not set(config.arches) & set(arches):
            raise UserError(
                f"configuration '{config.name}' is for {', '.join(config.arches)}: add --arch {config.arches[0]}"
            )
        if wanted and config.machines and not set(config.machines) & set(wanted):
            raise UserError(f"configuration '{config.name}' boots on --machine {' or '.join(config.machines)} only")
