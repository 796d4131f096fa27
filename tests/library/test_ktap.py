# SPDX-License-Identifier: GPL-2.0-only
"""KTAP: what is whole is ok; whatever is missing, cut off or contradicts itself is not (promise 1)."""

from __future__ import annotations

import pytest

from kernelgate import ktap
from kernelgate.ktap import Status

# lib/kunit/test.c and executor.c of 7.2: a module with two suites, amid other lines of the log
WHOLE = """\
kg_page_ref: loading out-of-tree module taints kernel.
KTAP version 1
1..2
    KTAP version 1
    # Subtest: page_ref
    # module: kg_page_ref
    1..4
    ok 1 add_and_sub_are_exact
virtio_net virtio0: link up
        KTAP version 1
        # Subtest: every_order
        ok 1 order 0
        ok 2 order 10 # SKIP too little memory
    # every_order: pass:1 fail:0 skip:1 total:2
    ok 2 every_order
    # needs_numa: only one node
    ok 3 needs_numa # SKIP needs two nodes
    ok 4 last_put_freezes_page
# page_ref: pass:3 fail:0 skip:1 total:4
# Totals: pass:3 fail:0 skip:2 total:5
ok 1 page_ref
    KTAP version 1
    # Subtest: invariant
    # module: kg_page_ref
    1..1
    ok 1 all_pages
ok 2 invariant
"""

FAILING = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: page_ref
    1..2
    # get_at_int_max: EXPECTATION FAILED at kg_page_ref.c:355
    Expected page_count(page) != 0, but
        page_count(page) == 0 (0x0)

a page with 2147483647 owners looks frozen
    not ok 1 get_at_int_max
    ok 2 other
# page_ref: pass:1 fail:1 skip:0 total:2
# Totals: pass:1 fail:1 skip:0 total:2
not ok 1 page_ref
"""

# tools/testing/selftests/kselftest.h
PROGRAM = """\
TAP version 13
1..3
# a word
ok 1 mmap
ok 2 # SKIP no huge pages
ok 3 - munmap # took 3 s
# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:1 error:0
"""


def parse(text: str) -> ktap.Report:
    return ktap.parse(text.splitlines())


def replaced(text: str, old: str, new: str) -> ktap.Report:
    assert text.count(old) == 1, old
    return parse(text.replace(old, new))


def test_whole_report_is_ok_and_nested() -> None:
    report = parse(WHOLE)
    assert report.errors == ()
    assert report.ok
    page_ref, invariant = report.results
    assert [(child.name, child.status) for child in page_ref.children] == [
        ("add_and_sub_are_exact", Status.PASSED),
        ("every_order", Status.PASSED),
        ("needs_numa", Status.SKIPPED),
        ("last_put_freezes_page", Status.PASSED),
    ]
    assert [child.name for child in page_ref.children[1].children] == ["order 0", "order 10"]
    assert (page_ref.status, invariant.status) == (Status.PASSED, Status.PASSED)
    assert [leaf.name for leaf in report.leaves()][-1] == "all_pages"


def test_skip_has_its_reason_and_diagnostics_stay_with_their_case() -> None:
    skipped = parse(WHOLE).find("page_ref", "needs_numa")
    assert skipped is not None
    assert (skipped.status, skipped.reason) == (Status.SKIPPED, "needs two nodes")
    assert skipped.diagnostics == ("needs_numa: only one node",)


def test_failed_expectation_is_told_with_its_values() -> None:
    report = parse(FAILING)
    failed = report.find("page_ref", "get_at_int_max")
    assert failed is not None
    assert failed.status is Status.FAILED
    assert failed.diagnostics == (
        "get_at_int_max: EXPECTATION FAILED at kg_page_ref.c:355",
        "Expected page_count(page) != 0, but",
        "page_count(page) == 0 (0x0)",
        "a page with 2147483647 owners looks frozen",
    )
    assert report.errors == ()
    assert not report.ok


def test_program_that_writes_tap_is_read_too() -> None:
    report = parse(PROGRAM)
    assert report.ok
    assert [(result.name, result.status) for result in report.results] == [
        ("mmap", Status.PASSED),
        ("", Status.SKIPPED),
        ("munmap", Status.PASSED),
    ]
    assert report.find("munmap") is report.results[2]


def test_kunit_before_6_2_had_no_version_line_in_subtests() -> None:
    text = "TAP version 14\n1..1\n    # Subtest: page_ref\n    1..1\n    ok 1 - one\nok 1 - page_ref\n"
    report = parse(text)
    assert report.ok
    assert report.find("page_ref", "one") is not None


def test_empty_plan_of_kunit_at_boot_is_nothing_beside_results() -> None:
    """lib/kunit/executor.c: with no suites built in, each boot prints a version and "1..0"."""
    assert parse("KTAP version 1\n1..0\nother line\n" + WHOLE).ok


def test_suites_of_two_modules_without_a_version_line_each_count_from_one() -> None:
    one = "    KTAP version 1\n    # Subtest: {0}\n    1..1\n    ok 1 case\nok 1 {0}\n"
    report = parse(one.format("first") + one.format("second"))
    assert report.ok
    assert [result.name for result in report.results] == ["first", "second"]


def test_module_without_a_version_line_after_suites_built_in() -> None:
    """Linux 6.1: the boot prints a whole report, empty or not; a module's suites follow bare."""
    module = "    # Subtest: kg\n    1..1\n    ok 1 - case\nok 1 - kg\n"
    assert parse("TAP version 14\n1..0\n" + module).ok
    report = parse(WHOLE + module)
    assert report.ok
    assert [result.name for result in report.results] == ["page_ref", "invariant", "kg"]


def test_suite_more_than_planned_is_red() -> None:
    extra = WHOLE + "    # Subtest: kg\n    1..1\n    ok 1 - case\nok 3 - kg\n"
    assert not parse(extra).ok


def test_suite_that_cannot_begin_has_failed_and_says_why() -> None:
    """lib/kunit/test.c kunit_run_tests(), suite_init_err."""
    report = parse("    # page_ref: # failed to initialize (-2)\nnot ok 1 page_ref\n")
    assert report.results[0].status is Status.FAILED
    assert report.results[0].diagnostics == ("page_ref: # failed to initialize (-2)",)


# what is done to WHOLE, and a part of the error that must come of it
BROKEN = [
    ("a case is missing", ("    ok 4 last_put_freezes_page\n", ""), "page_ref planned 4 and has 3 results"),
    ("a case in the middle is missing", ("    ok 1 add_and_sub_are_exact\n", ""), "result 2 (every_order) where 1"),
    ("a case more than planned", ("    1..4\n", "    1..3\n"), "page_ref planned 3 and has 4 results"),
    ("a wrong number", ("ok 4 last_put", "ok 5 last_put"), "result 5 (last_put_freezes_page) where 4 was due"),
    ("a suite is missing", ("1..2\n    KTAP", "1..3\n    KTAP"), "the report planned 3 and has 2 results"),
    ("two cases of one name", ("4 last_put_freezes_page", "4 needs_numa"), "page_ref has 2 results named needs_numa"),
    ("two plans", ("    1..4\n", "    1..4\n    1..4\n"), "page_ref has two plans"),
    ("a failed case in a suite that is ok", ("    ok 4 last", "    not ok 4 last"), "page_ref is passed, but not last"),
    ("a failed parameter in a case that is ok", ("ok 1 order 0", "not ok 1 order 0"), "every_order is passed, but not"),
    ("statistics of a suite", ("page_ref: pass:3 fail:0", "page_ref: pass:2 fail:1"), "page_ref claims 2 passed"),
    (
        "statistics of another suite",
        ("# page_ref: pass", "# invariant: pass"),
        "page_ref has the statistics of invariant",
    ),
    ("statistics of all", ("Totals: pass:3", "Totals: pass:4"), "Totals claims 4 passed"),
    ("statistics of a case", ("every_order: pass:1", "every_order: pass:2"), "every_order claims 2 passed"),
    ("no plan of a suite", ("    1..4\n", ""), "page_ref has no plan"),
    ("no plan", ("KTAP version 1\n1..2\n", "KTAP version 1\n"), "has no plan"),
    ("a case that is ok and timed out", ("ok 4 last_put_freezes_page", "ok 4 last # TIMEOUT 3 s"), "is ok and TIMEOUT"),
    (
        "a suite passed of which nothing did",
        ("    ok 1 all_pages\n", "    ok 1 all_pages # SKIP why\n"),
        "nothing below it",
    ),
    ("the suite begins twice", ("    1..4\n", "    # Subtest: page_ref\n    1..4\n"), "page_ref began again"),
    (
        "its version line is lost",
        ("        KTAP version 1\n        # Subtest: every_order\n", ""),
        "outside of any test",
    ),
]


@pytest.mark.parametrize(("what", "change", "error"), BROKEN, ids=[case[0] for case in BROKEN])
def test_broken_report_is_red(what: str, change: tuple[str, str], error: str) -> None:
    report = replaced(WHOLE, *change)
    assert not report.ok
    assert any(error in found for found in report.errors), report.errors


@pytest.mark.parametrize("cut", range(1, len(WHOLE.splitlines())))
def test_log_that_ends_anywhere_is_red(cut: int) -> None:
    """The kernel dies, or the log is cut, after any line but the last."""
    assert not ktap.parse(WHOLE.splitlines()[:cut]).ok


@pytest.mark.parametrize(
    "lost", [n for n, line in enumerate(WHOLE.splitlines()) if line.lstrip().startswith(("ok", "1.."))]
)
def test_any_lost_result_or_plan_is_red(lost: int) -> None:
    lines = WHOLE.splitlines()
    report = ktap.parse(lines[:lost] + lines[lost + 1 :])
    assert report.errors
    assert not report.ok


def test_crash_amid_a_suite_keeps_what_ran() -> None:
    lines = WHOLE.splitlines()
    report = ktap.parse([*lines[:8], "Oops: general protection fault: 0000 [#1] SMP"])
    (suite,) = [result for result in report.results if result.name]
    assert suite.status is Status.CRASHED
    assert [(child.name, child.status) for child in suite.children] == [
        ("add_and_sub_are_exact", Status.PASSED),
        *[("", Status.MISSING)] * 3,
    ]
    assert any("page_ref has no result line" in error for error in report.errors)


def test_crash_amid_a_suite_and_another_suite_after_it() -> None:
    lines = WHOLE.splitlines()
    crashed_then_next = lines[:8] + lines[lines.index("ok 1 page_ref") + 1 :]
    report = ktap.parse(crashed_then_next)
    assert not report.ok
    assert [(result.name, result.status) for result in report.results if result.name] == [
        ("page_ref", Status.CRASHED),
        ("invariant", Status.PASSED),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no KTAP at all"),
        ("virtio_net: up\n# a word\n", "no KTAP at all"),
        ("KTAP version 1\n1..0\n", "the plan is empty"),
        ("KTAP version 1\n", ""),
        ("KTAP version 1\n1..1\n    # Subtest: a\nok 1 a\n", "a has nothing in it"),
    ],
)
def test_nothing_is_never_ok(text: str, error: str) -> None:
    report = parse(text)
    assert not report.ok
    assert error in " ".join(report.errors)


def test_program_that_skips_all_is_not_ok_and_tells_why() -> None:
    """kselftest.h ksft_exit_skip(): "1..0 # SKIP why"."""
    report = parse("TAP version 13\n1..0 # SKIP needs root\n")
    assert not report.ok
    assert [(result.status, result.reason) for result in report.results] == [(Status.SKIPPED, "needs root")]


def test_expected_failure_is_not_a_pass() -> None:
    report = parse("TAP version 13\n1..1\nnot ok 1 known # XFAIL broken for long\n")
    assert report.results[0].status is Status.SKIPPED
    assert not report.ok


def test_name_that_stands_for_two_is_not_found() -> None:
    twice = replaced(WHOLE, "4 last_put_freezes_page", "4 needs_numa")
    assert twice.find("page_ref", "needs_numa") is None
    assert parse(WHOLE).find("page_ref", "no_such") is None
