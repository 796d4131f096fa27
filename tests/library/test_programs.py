# SPDX-License-Identifier: GPL-2.0-only
"""Test programs compile for both architectures, and one that misbehaves is red: real programs, run for real."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kernelgate import programs
from kernelgate.cache import Cache
from kernelgate.dmesg import parse_kmsg
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.kbuild import TOOLCHAINS
from kernelgate.progress import silent
from kernelgate.suites import Case, program
from kernelgate.verdict import TAINT_OOT_MODULE, Evidence, Outcome, Verdict, judge_program

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "images/programs"

CASES = """
#include <signal.h>
#include "kg_tap.h"

static void passes(void) { kg_end(); }
static void fails(void) { kg_expect(1 + 1 == 3, "two is %d", 2); kg_note("and goes on"); kg_end(); }
static void skips(void) { kg_skip("no such device: --machine nvdimm"); }
static void skips_without_remedy(void) { kg_skip("no such device"); }
static void scans(void) { }
static void dies_of_a_bus_error(void) { raise(SIGBUS); }
static void dies_after_its_result(void) { atexit(abort); kg_end(); }
static void is_killed(void) { raise(SIGKILL); }
static void plans_twice(void) { printf("1..1\\n"); kg_end(); }
static void reports_twice(void) { printf("ok 1 reports_twice\\n"); kg_end(); }
static void reports_another(void) { printf("ok 1 other\\n"); exit(0); }
static void reports_nothing(void) { exit(0); }
static void fails_with_status_0(void) { printf("not ok 1 fails_with_status_0\\n"); exit(0); }
static void passes_with_status_1(void) { printf("ok 1 passes_with_status_1\\n"); exit(1); }
const struct kg_case kg_cases[] = {
	KG_CASE("X-01", passes),
	KG_CASE("X-01", fails),
	KG_CASE("X-01", skips),
	KG_CASE("X-01", skips_without_remedy),
	KG_CASE("X-01", scans),
	KG_CASE("X-01", dies_of_a_bus_error),
	KG_CASE("X-01", dies_after_its_result),
	KG_CASE("X-01", is_killed),
	KG_CASE("X-01", plans_twice),
	KG_CASE("X-01", reports_twice),
	KG_CASE("X-01", reports_another),
	KG_CASE("X-01", reports_nothing),
	KG_CASE("X-01", fails_with_status_0),
	KG_CASE("X-01", passes_with_status_1),
	{}
};
"""
BARE = (
    '#include <stdio.h>\nint main(int argc, char **argv) {{ (void)argc; printf("{}ok 1 %s\\n", argv[1]); return 0; }}\n'
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kg_case, made of CASES, and programs that print no version or no plan."""
    folder = tmp_path_factory.mktemp("programs")
    shutil.copy(SOURCES / "kg_tap.h", folder)
    (folder / "kg_case.c").write_text(CASES)
    (folder / "kg_no_plan.c").write_text(BARE.format("TAP version 14\\n"))
    (folder / "kg_no_version.c").write_text(BARE.format("1..1\\n"))
    programs.compile_all("x86_64", sorted(folder.glob("*.c")), folder)
    return folder


def evidence(made: Path, claim: str, name: str = "kg_case") -> Evidence:
    """What the program NAME leaves of CLAIM, in a guest that is well; its shell tells signal N as 128 + N."""
    ended = subprocess.run([made / name, claim], capture_output=True, text=True, check=False)
    status = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
    log = parse_kmsg("6,0,1000,-;kg_probe: judged as frozen_bit\n")
    output = ended.stdout + ended.stderr
    return Evidence(f"{name} {claim}", status, output, log, 0, "", 0, TAINT_OOT_MODULE)


def judged(made: Path, claim: str, name: str = "kg_case") -> Verdict:
    return judge_program(evidence(made, claim, name), claim)


def test_case_that_ends_well_passes(made: Path) -> None:
    assert judged(made, "passes").explain() == "passed"


def test_failed_expectation_is_told_and_what_came_after_it(made: Path) -> None:
    verdict = judged(made, "fails")
    assert verdict.outcome is Outcome.FAILED
    assert "two is 2\nand goes on" in verdict.explain()


def test_case_ends_with_the_scan(made: Path) -> None:
    """There is no kg_probe here, and without one no case passes."""
    assert "scan: No such file or directory" in judged(made, "scans").explain()


def test_skip_names_the_remedy(made: Path) -> None:
    assert judged(made, "skips").outcome is Outcome.SKIPPED
    assert judged(made, "skips").explain() == "skipped: no such device: --machine nvdimm"
    assert "without a remedy" in judged(made, "skips_without_remedy").explain()
    assert judged(made, "skips_without_remedy").outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("dies_of_a_bus_error", "ended by signal 7"),
        ("is_killed", "ended by signal 9"),
        ("dies_after_its_result", "ended by signal 6"),
        ("plans_twice", "has two plans"),
        ("reports_twice", "no report on reports_twice alone"),
        ("reports_another", "no report on reports_another alone"),
        ("reports_nothing", "no report on reports_nothing alone"),
        ("fails_with_status_0", "failed"),
        ("passes_with_status_1", "ended by status 1"),
        ("no_such_claim", "no such claim"),
    ],
)
def test_program_that_misbehaves_is_red(made: Path, claim: str, reason: str) -> None:
    verdict = judged(made, claim)
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.explain()


def test_report_without_plan_or_version_is_red(made: Path) -> None:
    assert "has no plan" in judged(made, "claim", "kg_no_plan").explain()
    assert "begins with '1..1'" in judged(made, "claim", "kg_no_version").explain()


def test_two_cases_of_one_program_do_not_pass_for_one(made: Path) -> None:
    found = evidence(made, "passes")
    two = replace(found, output="TAP version 14\n1..2\nok 1 passes\nok 2 more\n")
    assert "no report on passes alone" in judge_program(two, "passes").explain()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"death": "the guest died", "status": None, "taint_after": None, "output": ""}, "the guest died"),
        ({"taint_after": TAINT_OOT_MODULE | 1 << 5}, "tainted B"),
        ({"records": ()}, "log is empty"),
        ({"records": parse_kmsg("6,0,1000,-;one\n6,2,1000,-;three\n")}, "has gaps"),
        ({"records": parse_kmsg("0,0,1000,-;BUG: Bad page state in process kg  pfn:1234\n")}, "bad page state"),
    ],
)
def test_program_that_ends_well_in_an_unsound_guest_is_red(made: Path, changes: dict[str, object], reason: str) -> None:
    verdict = judge_program(replace(evidence(made, "passes"), **changes), "passes")
    assert not verdict.passed
    assert reason in verdict.explain()
    assert not judge_program(replace(evidence(made, "skips"), **changes), "skips").skipped


def test_skip_after_a_result_line_is_no_skip(made: Path) -> None:
    found = replace(evidence(made, "skips"), status=139)
    assert "ended by signal 11" in judge_program(found, "skips").explain()


@pytest.mark.parametrize("arch", TOOLCHAINS)
def test_programs_compile_and_need_no_library(arch: str, tmp_path: Path) -> None:
    sources = [SOURCES / "kmsg.c", SOURCES / "kg_init_memory.c"]
    programs.compile_all(arch, sources, tmp_path)
    for source in sources:
        readelf = ["readelf", "-hl", tmp_path / source.stem]
        described = subprocess.run(readelf, check=True, capture_output=True, text=True).stdout
        assert "INTERP" not in described
        assert {"x86_64": "X86-64", "arm64": "AArch64"}[arch] in described


def test_programs_are_made_anew_when_one_of_their_files_changes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "programs", Cache(tmp_path / "cache")
    folder.mkdir()
    (folder / "kg_tap.h").write_text("#define STATUS 1\n")
    (folder / "kg_one.c").write_text('#include "kg_tap.h"\nint main(void) { return STATUS; }\n')
    (folder / "kmsg.c").write_text("no test")
    first = programs.build("x86_64", folder, cache, silent)
    assert list(first) == ["kg_one"]
    assert programs.build("x86_64", folder, cache, silent) == first
    (folder / "kg_tap.h").write_text("#define STATUS 2\n")
    second = programs.build("x86_64", folder, cache, silent)
    assert [subprocess.run([each["kg_one"]], check=False).returncode for each in (first, second)] == [1, 2]


def test_program_that_does_not_compile_is_not_blamed_on_the_series(tmp_path: Path) -> None:
    (tmp_path / "kg_one.c").write_text("int main(void) { int unused; return 0; }\n")
    with pytest.raises(InfrastructureError, match=r"kg_one.c does not compile for x86_64\n(?s:.*)unused variable"):
        programs.build("x86_64", tmp_path, Cache(tmp_path / "cache"), silent)


def test_cases_of_a_program_are_read_off_its_source() -> None:
    assert program(SOURCES, "kg_init_memory") == (Case("FRS-01", "freed_init_memory_is_frozen"),)
    with pytest.raises(UserError, match="unknown test program 'kg_init_memry': did you mean kg_init_memory"):
        program(SOURCES, "kg_init_memry")


def test_every_case_of_a_program_is_a_function_there() -> None:
    sources = sorted(SOURCES.glob("kg_*.c"))
    assert sources
    for source in sources:
        cases = program(SOURCES, source.stem)
        assert cases, f"{source.name} has no KG_CASE"
        for case in cases:
            assert f"static void {case.name}(void)" in source.read_text(), f"{source.name}: {case.name}"
