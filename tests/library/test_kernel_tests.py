# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own tests: which there are, what they tell, and that only a change against the base is a verdict."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kernelgate import kconfig, kernel_tests
from kernelgate.dmesg import parse_kmsg
from kernelgate.errors import UserError
from kernelgate.kernel_tests import SubTest
from kernelgate.verdict import GUEST, PASSED, REPORT, Evidence, Outcome, judge_recorded, told

ROOT = Path(__file__).parents[2]

REPORTED = """\
TAP version 13
1..3
ok 1 base page
not ok 2 huge page
ok 3 gigantic page # SKIP no such pages
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0
# /sys/kernel/debug/kg_probe/scan: bad 0
"""
SOUND = Evidence(
    "cow",
    status=1,
    output=REPORTED,
    records=parse_kmsg("6,10,1000,-;cow: begins\n"),
    first=10,
    taint_after=0,
)
TOLD = told(SOUND, "cow")
SPLAT = parse_kmsg("4,10,1000,-;WARNING: mm/gup.c:80 at try_get_folio+0x5c/0x70, CPU#1: cow/77\n")


def test_sub_tests_are_told_apart_from_report_and_guest() -> None:
    assert TOLD[REPORT] == TOLD[GUEST] == TOLD["base page"] == PASSED
    assert TOLD["huge page"].startswith("failed:")
    assert TOLD["gigantic page"] == "skipped: no such pages"


def test_sub_tests_of_one_name_are_numbered() -> None:
    twice = REPORTED.replace("huge page", "base page").replace("gigantic page", "base page")
    assert [name for name in told(replace(SOUND, output=twice), "cow") if name not in (REPORT, GUEST)] == [
        "base page",
        "base page (again, 1)",
        "base page (again, 2)",
    ]


def test_report_that_is_cut_off_is_not_whole() -> None:
    cut = told(replace(SOUND, output=REPORTED.replace("ok 3 gigantic page # SKIP no such pages\n", "")), "cow")
    assert cut[REPORT].startswith("failed:")


@pytest.mark.parametrize(
    "evidence",
    [
        replace(SOUND, records=SPLAT),
        replace(SOUND, taint_after=1 << 9),
        replace(SOUND, output=REPORTED.replace("bad 0", "bad 3")),
        replace(SOUND, output=REPORTED.replace("# /sys/kernel/debug/kg_probe/scan: bad 0\n", "")),
        replace(SOUND, death="the guest ended by itself", taint_after=None),
    ],
    ids=["splat", "taint", "pages", "no scan", "death"],
)
def test_guest_that_is_not_sound_is_told(evidence: Evidence) -> None:
    assert told(evidence, "cow")[GUEST].startswith("failed:")


def test_module_without_ktap_passes_by_the_line_that_it_writes() -> None:
    log = parse_kmsg("6,10,1000,-;XArray: 12 of 12 tests passed\n")
    says = r"XArray: (\d+) of \1 tests passed"
    assert told(replace(SOUND, records=log), "test_xarray", says)["test_xarray"] == PASSED
    fewer = parse_kmsg("6,10,1000,-;XArray: 11 of 12 tests passed\n")
    assert told(replace(SOUND, records=fewer), "test_xarray", says)["test_xarray"].startswith("failed:")


def test_module_with_ktap_is_read_in_the_log() -> None:
    log = parse_kmsg("6,10,1000,-;KTAP version 1\n6,11,1000,-;1..1\n6,12,1000,-;ok 1 slub_test\n")
    assert told(replace(SOUND, records=log), "slub_kunit", in_log=True)["slub_test"] == PASSED


@pytest.mark.parametrize("name", [REPORT, GUEST, "base page"])
def test_what_is_as_recorded_passes(name: str) -> None:
    assert judge_recorded(SOUND, TOLD, name, TOLD).outcome is Outcome.PASSED


@pytest.mark.parametrize("name", ["huge page", "gigantic page"])
def test_what_does_not_pass_without_a_series_either_is_skipped_with_the_reason(name: str) -> None:
    judged = judge_recorded(SOUND, TOLD, name, TOLD)
    assert judged.skipped and TOLD[name] in judged.explain()


@pytest.mark.parametrize(("name", "recorded"), [("huge page", PASSED), ("base page", "failed: on the base")])
def test_change_to_worse_or_better_is_red(name: str, recorded: str) -> None:
    judged = judge_recorded(SOUND, TOLD, name, {**TOLD, name: recorded})
    assert judged.outcome is Outcome.FAILED and recorded in judged.explain()


def test_guest_that_is_not_sound_in_another_way_is_red() -> None:
    """What is wrong with it on the base excuses nothing else."""
    before, now = told(replace(SOUND, taint_after=1 << 9), "cow"), told(replace(SOUND, taint_after=1 << 7), "cow")
    assert judge_recorded(SOUND, before, GUEST, before).skipped
    assert judge_recorded(SOUND, now, GUEST, before).outcome is Outcome.FAILED


def test_skipped_without_a_name_is_called_by_its_reason() -> None:
    unnamed = told(
        replace(SOUND, output=REPORTED.replace("gigantic page # SKIP no such pages", "# SKIP gigantic")), "cow"
    )
    assert unnamed["gigantic"] == "skipped: gigantic"


def test_sub_test_that_is_gone_is_red() -> None:
    assert judge_recorded(SOUND, TOLD, "tiny page", {**TOLD, "tiny page": PASSED}).outcome is Outcome.FAILED


def test_sub_test_that_nobody_recorded_makes_the_report_red() -> None:
    recorded = {name: outcome for name, outcome in TOLD.items() if name != "huge page"}
    judged = judge_recorded(SOUND, TOLD, REPORT, recorded)
    assert judged.outcome is Outcome.FAILED and "huge page" in judged.explain()


def test_table_of_the_project_can_be_read() -> None:
    tests = kernel_tests.read(ROOT / kernel_tests.FILE)
    assert tests["test_xarray"].module and not tests["cow"].module
    assert {test.machine for test in tests.values()} <= set(kernel_tests.MACHINES)
    assert {test.config for test in tests.values()} <= set(kconfig.configurations(ROOT / "kconfigs"))
    assert tests["rcutorture"].before and tests["rcutorture"].config == "devices"
    asking = [kernel_tests.asking_for(tests, "plain", config) for config in ("debug_vm", "devices")]
    assert "cow" not in asking[0] and "test_xarray" in asking[0]
    assert "rcutorture" in asking[1] and "test_xarray" not in asking[1]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[cow]\nseconds = 'x'", "seconds"),
        ("[cow]\nafter = 'x'", "for a module"),
        ("[cow]\nsecond = 3", "second"),
        ("[cow", "table declaration"),
    ],
)
def test_mistake_in_the_table_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "in_tree.toml").write_text(text)
    with pytest.raises(UserError, match=named):
        kernel_tests.read(tmp_path / "in_tree.toml")


def test_unknown_machine_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "in_tree.toml").write_text('[cow]\nmachine = "hugepage"')
    with pytest.raises(UserError, match="hugepages"):
        kernel_tests.read(tmp_path / "in_tree.toml")


def test_sub_tests_are_those_of_any_baseline(tmp_path: Path) -> None:
    (tmp_path / "7.2-x86_64.json").write_text(json.dumps({"cow": {"a": PASSED}}))
    (tmp_path / "7.2-arm64.json").write_text(json.dumps({"cow": {"a": PASSED, "b": PASSED}, "other": {"c": PASSED}}))
    assert kernel_tests.sub_tests(tmp_path, ["cow"]) == [SubTest("cow", "a"), SubTest("cow", "b")]
    assert kernel_tests.baseline(tmp_path, "7.2", "arm64")["other"] == {"c": PASSED}
    assert kernel_tests.baseline(tmp_path, "6.1", "arm64") == {}
