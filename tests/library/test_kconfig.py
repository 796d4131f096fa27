# SPDX-License-Identifier: GPL-2.0-only
"""Fragments, and options that did not survive."""

from pathlib import Path

import pytest

from kernelgate import kconfig, kconfig_tree
from kernelgate.errors import UserError
from kernelgate.gate import TOUCHED
from kernelgate.kconfig import Fragments, Option, compose, configuration, configurations, lost, verify
from kernelgate.selection import ARCHES, Configuration

KCONFIGS = Path(__file__).parents[2] / "kconfigs"

TREE = {
    "Kconfig": """
        mainmenu "A kernel"
        source "arch/$(SRCARCH)/Kconfig"
        source "mm/Kconfig"
        config MODULES
        \tbool "Loadable modules"
        \tmodules
        config NUMBER
        \tint "A number"
        \trange 1 64
        """,
    "arch/x86/Kconfig": """
        config X86
        \tdef_bool y
        \tselect THERMAL if ACPI
        config ACPI
        \tbool "ACPI"
        config OLD
        \tbool
        \ttransitional
        """,
    "arch/arm64/Kconfig": """
        config ARM64
        \tdef_bool y
        """,
    "mm/Kconfig": """
        menu "Memory"
        \tdepends on MMU
        config SWAP
        \tbool "Paging of # anonymous memory"
        \tdepends on BLOCK && \\
        \t\t!NOSWAP
        \thelp
        \t  These two are but words of this help:
        \t    config BOGUS

        \t  depends on NOTHING
        config CMA
        \tbool "CMA" # a remark
        \tdepends on SMALL if !ACPI
        endmenu
        if EXPERT
        config HIDDEN
        \tbool "Hidden"
        config WHISPER
        \tbool "Whisper" if LOUD
        endif
        config THERMAL
        \tbool
        choice
        \tprompt "Page size"
        config PAGES_4K
        \tbool "4 KiB"
        config PAGES_64K
        \tbool "64 KiB"
        endchoice
        """,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("\n        ", "\n"))
    return tmp_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "kconfigs"
    folder.mkdir()
    (folder / "configurations.toml").write_text(
        'common = ["base"]\n[configurations.main]\nsummary = "-"\nfragments = ["more"]\n'
    )
    (folder / "base.config").write_text("# a remark\nCONFIG_SMP=y\nCONFIG_NR_CPUS=16\n# CONFIG_VT is not set\n")
    (folder / "base.arm64.config").write_text('CONFIG_OF=y\nCONFIG_SALT=""\n')
    (folder / "more.config").write_text("# if known: new in 6.5\nCONFIG_BUDDY=y\nCONFIG_PLAIN=y\n")
    return folder


def request(name: str, value: str = "y", needs: str = "", arch: str = "x86_64") -> Fragments:
    return Fragments(("one",), arch, (Option(name, value, "one.config:1", needs),))


def reason(fragments: Fragments, final: str, tree: Path) -> str:
    (failure,) = lost(fragments, final, tree)
    return failure.reason


def test_a_configuration_is_its_fragments_and_those_of_the_architecture(root: Path) -> None:
    fragments = compose(["main"], "arm64", root)
    assert [(option.name, option.value) for option in fragments.options] == [
        ("SMP", "y"), ("NR_CPUS", "16"), ("VT", "n"), ("OF", "y"), ("SALT", '""'), ("BUDDY", "y"), ("PLAIN", "y"),
    ]  # fmt: skip
    assert "OF" not in {option.name for option in compose(["main"], "x86_64", root).options}


@pytest.fixture
def variants(root: Path) -> Path:
    """ROOT with a configuration that leaves options out and is for one architecture."""
    with (root / "configurations.toml").open("a") as file:
        file.write('[configurations.bare]\nsummary = "-"\nfragments = ["extra"]\nwithout = ["NR_CPUS", "SMP"]\n')
        file.write('arches = ["x86_64"]\nmachines = ["up"]\nbases = ["6.1"]\n')
    (root / "extra.config").write_text("CONFIG_TINY=y\n# CONFIG_SMP is not set\n")
    return root


def test_a_configuration_may_leave_out_what_others_have_in_common(variants: Path) -> None:
    assert compose(["bare"], "x86_64", variants).text == (
        "# CONFIG_VT is not set\nCONFIG_TINY=y\n# CONFIG_SMP is not set\n"
    )
    found = configurations(variants)["bare"]
    assert (found.arches, found.machines) == (("x86_64",), ("up",))


def test_what_one_configuration_leaves_out_another_still_asks_for(variants: Path) -> None:
    with pytest.raises(UserError, match=r"contradict each other: CONFIG_SMP=n \(.*\) and CONFIG_SMP=y"):
        compose(["bare", "main"], "x86_64", variants)


def test_a_configuration_of_another_architecture_is_refused(variants: Path) -> None:
    with pytest.raises(UserError, match="configuration 'bare' is for x86_64: add --arch x86_64"):
        compose(["bare"], "arm64", variants)


@pytest.mark.parametrize("version", ["6.12.107-1", "6.10.3", "7.2.13-1"])
def test_a_configuration_of_another_base_is_refused(variants: Path, version: str) -> None:
    with pytest.raises(UserError, match=r"configuration 'bare' is for 6\.1: add --base 6\.1"):
        compose(["bare"], "x86_64", variants, version)


def test_a_configuration_is_had_on_its_base_and_asked_for_on_any(variants: Path) -> None:
    assert compose(["bare"], "x86_64", variants, "6.1.192-2") == compose(["bare"], "x86_64", variants)
    assert compose(["main"], "x86_64", variants, "7.2.13-1") == compose(["main"], "x86_64", variants)


def test_configurations_put_together_run_where_all_of_them_do(variants: Path) -> None:
    found = configuration("main+bare+more", variants)
    assert (found.name, found.arches, found.machines) == ("main+bare+more", ("x86_64",), ("up",))
    assert configuration("main+more", variants).arches == ARCHES


def test_text_is_what_a_config_file_takes(root: Path) -> None:
    assert compose(["base"], "x86_64", root).text == "CONFIG_SMP=y\nCONFIG_NR_CPUS=16\n# CONFIG_VT is not set\n"


def test_an_excuse_holds_for_the_option_below_it_only(root: Path) -> None:
    needs = {option.name: option.needs for option in compose(["more"], "x86_64", root).options}
    assert needs == {"BUDDY": "BUDDY", "PLAIN": ""}


def test_an_excuse_may_name_another_option(root: Path) -> None:
    (root / "more.config").write_text("# if known CONFIG_BUDDY: new in 6.5\nCONFIG_DETECTOR=y\n")
    (option,) = compose(["more"], "x86_64", root).options
    assert (option.name, option.needs) == ("DETECTOR", "BUDDY")


def test_origin_names_file_and_line(root: Path) -> None:
    assert compose(["more"], "x86_64", root).options[1].origin == "kconfigs/more.config:3"


def test_contradicting_fragments_are_refused_with_both_places(root: Path) -> None:
    (root / "off.config").write_text("# CONFIG_SMP is not set\n")
    message = r"CONFIG_SMP=y \(kconfigs/base.config:2\) and CONFIG_SMP=n \(kconfigs/off.config:1\)"
    with pytest.raises(UserError, match=message):
        compose(["main", "off"], "x86_64", root)


def test_the_same_request_twice_is_no_contradiction(root: Path) -> None:
    (root / "again.config").write_text("CONFIG_SMP=y\nCONFIG_VT=n\n")
    assert compose(["base", "again"], "x86_64", root).options == compose(["base"], "x86_64", root).options


def test_unknown_name_is_answered_with_the_nearest(root: Path) -> None:
    with pytest.raises(UserError, match="unknown configuration or fragment 'mian': did you mean main"):
        compose(["mian"], "x86_64", root)


def test_unknown_architecture_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="unknown architecture 'arm46': did you mean arm64"):
        compose(["main"], "arm46", root)


def test_a_fragment_may_be_a_file_of_ones_own(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.config"
    own.write_text("CONFIG_KASAN=y\n")
    assert compose(["base", str(own)], "x86_64", root).options[-1] == Option("KASAN", "y", f"{own}:1")
    with pytest.raises(UserError, match=r"nowhere\.config: no such fragment"):
        compose([str(tmp_path / "nowhere.config")], "x86_64", root)


def test_a_line_that_is_no_option_is_refused(root: Path) -> None:
    (root / "more.config").write_text("CONFIG_SMP y\n")
    with pytest.raises(UserError, match=r"more.config:1: 'CONFIG_SMP y' is no option"):
        compose(["more"], "x86_64", root)


@pytest.mark.parametrize(
    ("name", "arch"), [(config.name, arch) for config in configurations(KCONFIGS).values() for arch in config.arches]
)
def test_every_configuration_of_the_project_composes(name: str, arch: str) -> None:
    chosen = {option.name: option.value for option in compose([name], arch, KCONFIGS).options}
    assert chosen["DEBUG_VM"] == ("n" if name == "production" else "y")
    assert chosen["SMP"] == ("n" if name == "up" else "y")
    assert chosen["KUNIT"] == chosen["BUG"] == "y"
    told = {"kasan": "KASAN", "kcsan": "KCSAN", "lockdep": "PROVE_LOCKING", "up": "TINY_RCU", "slab": "SLAB"}
    told |= {"prove_refs": "PROVE_PAGE_REF", "devices": "TEST_HMM"}
    own = ["lockdep", "prove_refs"] if name == "prove_refs" else [name] * (name in told)
    assert [config for config, option in told.items() if chosen.get(option) == "y"] == own


@pytest.mark.parametrize("config", configurations(KCONFIGS).values(), ids=lambda config: config.name)
def test_a_configuration_of_the_project_leaves_out_only_what_is_asked_for(config: Configuration) -> None:
    asked = {option.name for option in compose(config.common, config.arches[0], KCONFIGS).options}
    assert set(config.left_out) <= asked


def test_every_fragment_of_the_project_is_used_and_has_its_licence() -> None:
    known = configurations(KCONFIGS).values()
    named = {fragment for config in known for fragment in (*config.common, *config.fragments)}
    assert {path.name.split(".")[0] for path in KCONFIGS.glob("*.config")} == {*named, TOUCHED}
    for path in KCONFIGS.glob("*.config"):
        assert path.read_text().startswith("# SPDX-License-Identifier: GPL-2.0-only\n")


def test_what_survived_is_not_lost(tree: Path) -> None:
    assert lost(request("SWAP"), "CONFIG_SWAP=y\n", tree) == ()
    assert lost(request("ACPI", "n"), "# CONFIG_ACPI is not set\n", tree) == ()
    assert lost(request("SWAP", "n"), "", tree) == ()


def test_a_lost_option_names_its_dependency(tree: Path) -> None:
    assert reason(request("SWAP"), "CONFIG_MMU=y\n", tree) == "it depends on BLOCK=n"
    assert reason(request("SWAP"), "CONFIG_MMU=y\nCONFIG_BLOCK=y\nCONFIG_NOSWAP=y\n", tree) == (
        "it depends on !NOSWAP (NOSWAP=y)"
    )


def test_a_lost_option_names_the_menu_and_the_if_around_it(tree: Path) -> None:
    assert reason(request("SWAP"), "CONFIG_BLOCK=y\n", tree) == "it depends on MMU=n"
    assert reason(request("HIDDEN"), "", tree) == "it depends on EXPERT=n"


def test_a_conditional_dependency_holds_under_its_condition(tree: Path) -> None:
    assert "SMALL" in reason(request("CMA"), "CONFIG_MMU=y\n", tree)
    assert "SMALL" not in reason(request("CMA"), "CONFIG_MMU=y\nCONFIG_ACPI=y\n", tree)


def test_an_option_that_something_selects_cannot_be_unset(tree: Path) -> None:
    final = "CONFIG_X86=y\nCONFIG_ACPI=y\nCONFIG_THERMAL=y\n"
    assert reason(request("THERMAL", "n"), final, tree) == "selected by X86=y"


def test_an_option_without_prompt_says_so(tree: Path) -> None:
    assert "no prompt" in reason(request("THERMAL"), "", tree)
    assert reason(request("WHISPER"), "CONFIG_EXPERT=y\n", tree) == "its prompt needs LOUD=n"


def test_a_choice_and_a_range_are_told(tree: Path) -> None:
    assert reason(request("PAGES_64K"), "CONFIG_PAGES_4K=y\n", tree) == "another option of its choice is set"
    (failure,) = lost(request("NUMBER", "99"), "CONFIG_NUMBER=64\n", tree)
    assert str(failure).startswith("CONFIG_NUMBER=99 (one.config:1) became 64: the tree gives it another value")


def test_an_unknown_option_is_lost_unless_excused(tree: Path) -> None:
    assert reason(request("NEVER"), "", tree) == "this tree has no such option"
    assert lost(request("NEVER", needs="NEVER"), "", tree) == ()
    assert lost(request("SWAP", needs="NEVER"), "", tree) == ()


def test_an_excuse_does_not_hold_where_the_tree_knows_the_option(tree: Path) -> None:
    assert reason(request("SWAP", needs="SWAP"), "CONFIG_MMU=y\n", tree) == "it depends on BLOCK=n"


def test_unsetting_what_the_tree_does_not_have_is_a_slip_of_the_pen(tree: Path) -> None:
    assert reason(request("SWPA", "n"), "", tree) == "this tree has no such option"


def test_an_option_of_another_architecture_is_unknown(tree: Path) -> None:
    assert reason(request("ACPI", arch="arm64"), "", tree) == "this tree has no such option"


def test_verify_names_every_lost_option_in_one_line(tree: Path) -> None:
    fragments = Fragments(("x",), "x86_64", (Option("SWAP", "y", "a:1"), Option("HIDDEN", "y", "b:2")))
    with pytest.raises(UserError) as caught:
        verify(fragments, "CONFIG_MMU=y\n", tree)
    assert str(caught.value) == (
        "options did not survive: CONFIG_SWAP=y (a:1) became n: it depends on BLOCK=n; "
        "CONFIG_HIDDEN=y (b:2) became n: it depends on EXPERT=n"
    )
    assert caught.value.exit_status == 4


def test_help_texts_are_not_read_as_entries(tree: Path) -> None:
    found = kconfig_tree.entries(tree, "x86")
    assert set(found) == {
        "ACPI", "CMA", "HIDDEN", "MODULES", "NUMBER", "OLD", "PAGES_4K", "PAGES_64K",
        "SWAP", "THERMAL", "WHISPER", "X86",
    }  # fmt: skip
    assert found["SWAP"][0].depends == ("MMU", "BLOCK && !NOSWAP")


def test_a_prompt_may_hold_a_hash(tree: Path) -> None:
    found = kconfig_tree.entries(tree, "x86")
    assert found["SWAP"][0].prompt == found["CMA"][0].prompt == "y"
    assert found["THERMAL"][0].prompt is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("A", 2), ("B", 1), ("C", 0), ("!B", 1), ("!C", 2), ("A && B", 1), ("B || C", 1), ("C || A && B", 1),
        ("(C || A) && !C", 2), ("S = \"text\"", 2), ("S != text", 0), ("N < 100", 2), ("N >= 0x40", 2),
        ("$(success,test (1)) && C", 0), ("$(cc-option,-m64)", 2),
        ("64BIT", 2), ("!64BIT", 0), ("A=y", 2), ("B=m", 2), ("B=y", 0),
    ],
)  # fmt: skip
def test_expressions_have_the_values_of_the_kconfig_language(expression: str, expected: int) -> None:
    values = kconfig.parse_config(
        'CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_S="text"\nCONFIG_N=64\nCONFIG_64BIT=y\n'
    )
    assert kconfig_tree.level(expression, values) == expected
