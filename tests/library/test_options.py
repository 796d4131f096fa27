# SPDX-License-Identifier: GPL-2.0-only
"""conftest.py by its options: which items there are, and what is refused before anything is built. Real pytest runs."""

import re
import sys
from pathlib import Path

import pytest

from kernelgate.command import Result, run

ROOT = Path(__file__).parents[2]
RACE = "tests/frozen_bit/test_race.py"
BOOT = "tests/frozen_bit/test_boot.py"


def collected(*options: str) -> Result:
    """What pytest says of its items with OPTIONS."""
    return run([sys.executable, "-m", "pytest", "--collect-only", "-q", *options], cwd=ROOT, check=False)


def boots(*options: str) -> set[str]:
    """The targets of the boot test with OPTIONS."""
    return set(re.findall(r"test_boot\[(.*)\]", collected(BOOT, *options).stdout))


def test_a_plain_run_builds_one_kernel_for_each_architecture() -> None:
    plain = boots("--machine", "smp2")
    assert plain == {"x86_64-smp2", "arm64-smp2"}


def test_all_is_every_configuration_that_the_test_names() -> None:
    configs = ("production", "kasan", "kcsan", "lockdep", "devices")
    assert boots("--config", "all", "--arch", "arm64", "--machine", "lse") == {
        "arm64-lse",
        *(f"arm64-lse-{config}" for config in configs),
    }


def test_a_configuration_without_smp_boots_on_its_own_machine() -> None:
    assert boots("--config", "up,lockdep", "--machine", "up") == {
        "x86_64-up-up",
        "x86_64-up-lockdep",
        "arm64-up-lockdep",
    }
    assert boots("--config", "up") == {"x86_64-up-up"}


def test_a_test_that_no_asked_machine_can_run_has_no_item() -> None:
    """pytest itself would keep one, which is skipped without a remedy."""
    none = collected("tests/frozen_bit/test_system.py", "--arch", "arm64", "-k", "test_shared_tails")
    assert "NOTSET" not in none.stdout
    assert "no tests collected" in none.stdout


def test_a_case_that_nothing_asked_for_can_run_is_skipped_with_the_remedy() -> None:
    told = run([sys.executable, "-m", "pytest", "tests/frozen_bit", "--case", "HVO-01", "--arch", "arm64"], cwd=ROOT)
    assert "x86_64-hugepages\n    is for x86_64: run with --arch x86_64\n" in told.stdout
    assert "1 skipped" in told.stdout
    assert not re.search(r"\d passed", told.stdout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "lokdep"], "unknown configuration 'lokdep': did you mean lockdep"),
        (["--config", "up", "--arch", "arm64"], "configuration 'up' is for x86_64: add --arch x86_64"),
        (["--config", "up", "--machine", "smp2"], "configuration 'up' boots on --machine up only"),
        (["--soak-seconds", "0"], "--soak-seconds 0: a stressor works for a second at least"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(options: list[str], message: str) -> None:
    refused = collected(BOOT, *options)
    assert refused.status == 4
    assert refused.stderr.startswith(f"ERROR: {message}")
    assert refused.stderr.count("\n") == 2


def test_what_makes_no_sense_in_a_configuration_is_skipped_with_the_remedy_and_builds_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    told = run([sys.executable, "-m", "pytest", RACE, "--config", "up", f"--cache={cache}"], cwd=ROOT)
    assert re.search(r"x86_64-up-up \(\d+ times\)\n    one processor .*: run it with --config debug_vm", told.stdout)
    assert not (cache / "builds").exists()


ARGUMENTS = ("baseline", "bench", "bisect", "boot", "cache", "check-c", "detect", "seed", "splats", "walk")


def test_each_script_with_arguments_is_tried_here() -> None:
    with_arguments = {path.name for path in (ROOT / "scripts").glob("[a-z]*") if "Arguments(" in path.read_text()}
    assert with_arguments == set(ARGUMENTS)


@pytest.mark.parametrize("script", ARGUMENTS)
def test_a_script_refuses_an_unknown_option_in_one_line(script: str) -> None:
    refused = run([sys.executable, ROOT / "scripts" / script, "--nonsense"], cwd=ROOT, check=False)
    assert refused.status == 4
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"{script}: ")


def test_tests_of_the_kernel_itself_are_there_when_asked_for() -> None:
    assert "test_does_what_it_does_without_a_series" in collected("-k", "in_tree").stdout
    assert "test_does_what_it_does_without_a_series" in collected("tests/in_tree").stdout
    assert "[x86_64-soak-mmap]" in collected("-m", "soak").stdout
    assert "-soak" not in collected("-k", "frozen_bit").stdout
    assert "test_does_what_it_does_without_a_series" not in collected("-k", "page_frag").stdout
