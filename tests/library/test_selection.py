# SPDX-License-Identifier: GPL-2.0-only
"""Which test runs on which machine."""

import pytest

from kernelgate.errors import UserError
from kernelgate.selection import Target, built, check_machines, parse_arches, targets

MACHINES = {"x86_64": ["smp2", "smp4-numa2"], "arm64": ["smp2", "lse"]}
OWN = {"x86_64": ["smp2"], "arm64": ["lse"]}


def test_a_test_runs_on_the_machines_it_names() -> None:
    assert targets(("x86_64", "arm64"), OWN, [], MACHINES) == (Target("x86_64", "smp2"), Target("arm64", "lse"))


def test_machine_option_replaces_them_where_it_exists() -> None:
    assert targets(("x86_64", "arm64"), OWN, ["smp4-numa2"], MACHINES) == (Target("x86_64", "smp4-numa2"),)


def test_arches_are_deduplicated_in_order() -> None:
    assert parse_arches("arm64, x86_64,arm64") == ("arm64", "x86_64")


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown architecture 'x86-64': did you mean x86_64\?"):
        parse_arches("x86-64")


def test_empty_architecture_is_refused() -> None:
    with pytest.raises(UserError, match="names no architecture"):
        parse_arches(" , ")


def test_unknown_machine_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown machine 'smp4-numa': did you mean smp4-numa2"):
        check_machines(["smp4-numa"], ("x86_64",), MACHINES)


def test_machine_of_another_architecture_names_that_architecture() -> None:
    with pytest.raises(UserError, match="machine 'lse' is one of arm64: add --arch arm64"):
        check_machines(["lse"], ("x86_64",), MACHINES)


def test_build_folders_decide_the_architectures() -> None:
    assert built(("x86_64", "arm64"), {"b": "arm64"}) == ("arm64",)


def test_build_folder_of_an_architecture_not_asked_for_is_refused() -> None:
    with pytest.raises(UserError, match="b is a build for arm64: add --arch arm64"):
        built(("x86_64",), {"b": "arm64"})


def test_two_build_folders_of_one_architecture_are_refused() -> None:
    with pytest.raises(UserError, match="name one of a, b"):
        built(("x86_64",), {"a": "x86_64", "b": "x86_64"})
