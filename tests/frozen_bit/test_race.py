# SPDX-License-Identifier: GPL-2.0-only
"""RACE-01 to -05, -07, -11, -13: getters and those who freeze, free, split and look up, on CPUs of their own."""

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


@pytest.mark.suite("kg_race_free")
def test_gets_on_what_is_freed(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_split")
def test_gets_on_what_is_split(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)


@pytest.mark.suite("kg_race_decision")
def test_puts_held_up_in_the_middle(kunit_verdict: Any, judged: Any) -> None:
    judged(kunit_verdict)
