# SPDX-License-Identifier: GPL-2.0-only
"""Which test runs on which machine with which kernel."""

import pytest

from kernelgate.errors import UserError
from kernelgate.selection import (
    ALL,
    Configuration,
    Flavour,
    Own,
    Target,
    built,
    check_configs,
    check_machines,
    configs_of,
    elsewhere,
    parse_arches,
    parse_configs,
    targets,
)

MACHINES = {"x86_64": ["smp2", "smp4-numa2", "up"], "arm64": ["smp2", "lse"]}
OWN = {"x86_64": ["smp2"], "arm64": ["lse"]}
BOTH = ("x86_64", "arm64")
UP = Configuration("up", arches=("x86_64",), machines=("up",))
LOCKDEP = Configuration("lockdep")


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


def test_where_a_test_could_run_that_nothing_asked_for_can() -> None:
    own = {"x86_64": ["hugepages", "smp2"], "arm64": []}
    assert elsewhere(own, ["arm64"]) == (Target("x86_64", "hugepages"), "is for x86_64: run with --arch x86_64")
    place = elsewhere(own, ["x86_64"])
    assert place
    assert place[1].endswith(": run without --config")
    assert elsewhere({}, ["arm64"]) is None


def test_build_folders_decide_the_architectures() -> None:
    assert built(("x86_64", "arm64"), {"b": "arm64"}) == ("arm64",)


def test_build_folder_of_an_architecture_not_asked_for_is_refused() -> None:
    with pytest.raises(UserError, match="b is a build for arm64: add --arch arm64"):
        built(("x86_64",), {"b": "arm64"})


def test_two_build_folders_of_one_architecture_are_refused() -> None:
    with pytest.raises(UserError, match="name one of a, b"):
        built(("x86_64",), {"a": "x86_64", "b": "x86_64"})


def test_the_default_configuration_goes_without_saying() -> None:
    assert str(Target("x86_64", "smp2")) == "x86_64-smp2"
    assert str(Target("x86_64", "smp2", "production")) == "x86_64-smp2-production"
    assert Target("arm64", "lse", "kasan").flavour == Flavour("arm64", "kasan")
    assert str(Flavour("arm64")) == "arm64 debug_vm"


def test_each_configuration_is_a_target_of_its_own() -> None:
    assert targets(("arm64",), OWN, [], MACHINES, [Configuration("debug_vm"), LOCKDEP]) == (
        Target("arm64", "lse"),
        Target("arm64", "lse", "lockdep"),
    )


def test_a_configuration_has_a_test_on_the_machines_it_boots_on() -> None:
    assert targets(BOTH, OWN, [], MACHINES, [UP]) == (Target("x86_64", "up", "up"),)
    assert targets(BOTH, {"arm64": ["lse"]}, [], MACHINES, [UP]) == ()


def test_a_machine_that_a_configuration_does_not_boot_on_yields_no_target() -> None:
    assert targets(BOTH, OWN, ["smp2"], MACHINES, [UP]) == ()
    assert targets(BOTH, OWN, ["up"], MACHINES, [UP, LOCKDEP]) == (
        Target("x86_64", "up", "up"),
        Target("x86_64", "up", "lockdep"),
    )


def test_a_plain_run_takes_the_default_configuration_if_it_can() -> None:
    assert configs_of(Own(OWN, ("production", "debug_vm")), ()) == ("debug_vm",)
    assert configs_of(Own(OWN, ("production", "kasan")), ()) == ("production",)
    assert configs_of(Own(OWN), ()) == ("debug_vm",)


def test_all_is_every_configuration_that_the_test_names() -> None:
    own = Own(OWN, ("production", "debug_vm"))
    assert configs_of(own, (ALL,)) == ("production", "debug_vm")
    assert configs_of(own, (ALL, "kasan", "debug_vm")) == ("production", "debug_vm", "kasan")
    assert configs_of(Own(OWN), (ALL,)) == ("debug_vm",)


def test_config_option_replaces_them() -> None:
    assert configs_of(Own(OWN, ("production", "debug_vm")), ("kasan", "up")) == ("kasan", "up")


def test_configurations_are_deduplicated_in_order() -> None:
    assert parse_configs("up, debug_vm,up", ["debug_vm", "up"]) == ("up", "debug_vm")


def test_a_configuration_may_be_put_together() -> None:
    assert parse_configs("debug_vm+mm+./own.config", ["debug_vm", "mm"]) == ("debug_vm+mm+./own.config",)
    with pytest.raises(UserError, match=r"unknown configuration 'mn': did you mean mm\?"):
        parse_configs("debug_vm+mn", ["debug_vm", "mm"])


def test_unknown_configuration_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown configuration 'lokdep': did you mean lockdep\?"):
        parse_configs("debug_vm,lokdep", ["debug_vm", "lockdep"])


def test_empty_configuration_is_refused() -> None:
    with pytest.raises(UserError, match="names no configuration: choose from debug_vm, up"):
        parse_configs(" , ", ["up", "debug_vm"])


def test_configuration_of_another_architecture_names_that_architecture() -> None:
    with pytest.raises(UserError, match="configuration 'up' is for x86_64: add --arch x86_64"):
        check_configs([UP], ("arm64",), [])
    check_configs([UP], BOTH, [])


def test_configuration_of_other_machines_names_them() -> None:
    with pytest.raises(UserError, match="configuration 'up' boots on --machine up only"):
        check_configs([UP, LOCKDEP], BOTH, ["smp2"])
    check_configs([UP], BOTH, ["smp2", "up"])
