# SPDX-License-Identifier: GPL-2.0-only
"""RACE-01 to RACE-14: gets against whoever freezes, frees, splits, moves or unmaps a page, on CPUs of their own."""

from typing import Any

import pytest

pytestmark = [
    pytest.mark.configurations(
        "debug_vm", "production", "kasan", "kcsan", "lockdep", excluded={"up": "one processor has nobody to race with"}
    ),
    pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["lse", "llsc"]),
]


@pytest.mark.suite("kg_race")
def test_race(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_cache")
def test_lookups_in_the_page_cache(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_count")
def test_owners_that_change_a_count_at_once(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_free")
def test_gets_on_what_is_freed(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_split")
def test_gets_on_what_is_split(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_decision")
def test_puts_held_up_in_the_middle(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.program("kg_race_swap")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse"])
def test_swapping(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_gup")
@pytest.mark.machines(x86_64=["smp2"], arm64=["lse", "llsc"])
def test_gets_through_a_mapping(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_migrate")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_moving_pages(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_ksm")
@pytest.mark.machines(x86_64=["smp4-numa2"], arm64=["smp4-numa2"])
def test_merging_pages(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)


@pytest.mark.program("kg_race_hugetlb")
@pytest.mark.machines(x86_64=["hugepages"], arm64=["hugepages"])
def test_huge_pages_that_come_and_go(program_verdict: Any, judged: Any) -> None:
    judged(program_verdict)
