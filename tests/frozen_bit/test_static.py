# SPDX-License-Identifier: GPL-2.0-only
"""S-01 to S-10: what must hold in the sources of a tree that has the series; no kernel is built for it.

The rules are kernelgate/static_rules.py, the places that S-09 asks about call_sites.toml. S-10
compiles what the series touches after each of its patches, which is for the night.
"""

from pathlib import Path
from typing import Any

import pytest

from kernelgate import selection, static_rules

pytestmark = pytest.mark.sources

SITES = static_rules.sites(Path(__file__).parent / "call_sites.toml")


@pytest.fixture
def rule_verdict(request: pytest.FixtureRequest, gate: Any) -> Any:
    """The verdict on the static rule that is the test's case."""
    return gate.static(request.node.get_closest_marker("case").args[0])


@pytest.mark.case("S-01")
def test_counts_are_stored_by_name(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-02")
def test_folio_set_count_is_gone(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-03")
def test_no_function_says_unless_zero(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-04")
def test_no_atomics_outside_page_ref_h(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-05")
def test_nobody_asks_for_a_negative_count(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-06")
def test_new_tails_are_frozen(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-07")
def test_assertions_are_where_counts_change(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-08")
def test_exchange_of_the_last_put_acquires(rule_verdict: Any, judged: Any) -> None:
    judged(rule_verdict)


@pytest.mark.case("S-09")
@pytest.mark.parametrize("case", SITES, ids=lambda site: site.name.replace("/", "."))
def test_call_site_is_converted(gate: Any, case: static_rules.Site, judged: Any) -> None:
    judged(gate.static_site(case))


@pytest.mark.case("S-10")
def test_every_patch_compiles(pytestconfig: pytest.Config, gate: Any, judged: Any) -> None:
    if pytestconfig.getoption("configuration") != selection.ALL and "S-10" not in pytestconfig.getoption("--case"):
        pytest.skip("compiling takes a minute a patch: run with --case S-10, or everything with --config all")
    judged(gate.commits())
