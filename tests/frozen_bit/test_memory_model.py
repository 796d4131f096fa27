# SPDX-License-Identifier: GPL-2.0-only
"""LKMM-01 and -02: under the kernel's memory model, who frees a page sees it as the last user left it.

herd7 answers, with the model of the tree under test; no kernel is built. QEMU's emulation
is no place to see a missing barrier.
"""

from pathlib import Path
from typing import Any

import pytest

from kernelgate import litmus, verdict
from kernelgate.litmus import Put

pytestmark = pytest.mark.sources

TESTS = Path(__file__).parent / "litmus"

KNOWN = {
    Put("put-in-two-steps", "atomic_cmpxchg_relaxed"): "Sometimes",
    Put("put-in-two-steps", "atomic_cmpxchg_acquire"): "Never",
    Put("put-in-two-steps", "atomic_cmpxchg"): "Never",
    Put("put-in-one-step", "atomic_cmpxchg_relaxed"): "Sometimes",
    Put("put-in-one-step", "atomic_cmpxchg_acquire"): "Sometimes",  # the put before must be a release
    Put("put-in-one-step", "atomic_cmpxchg_release"): "Sometimes",
    Put("put-in-one-step", "atomic_cmpxchg"): "Never",
    Put("put-at-once", "atomic_dec_and_test"): "Never",
}
"""What is true of each way, by Documentation/atomic_t.txt: acquire and release pair, relaxed does not order."""


@pytest.fixture(scope="session")
def herd(gate: Any) -> litmus.Herd:
    return litmus.herd(gate.cache)


@pytest.mark.case("LKMM-01")
def test_who_frees_a_page_sees_it_as_it_was_left(gate: Any, herd: litmus.Herd, judged: Any) -> None:
    tree = gate.sources().path
    judged(verdict.judge_sources(f"herd7 on {tree}", litmus.findings(tree, TESTS, herd), None))


@pytest.mark.case("LKMM-02")
@pytest.mark.parametrize(("made", "word"), KNOWN.items(), ids=[f"{made.test}-{made.operation}" for made in KNOWN])
def test_model_tells_orderings_apart(gate: Any, herd: litmus.Herd, judged: Any, made: Put, word: str) -> None:
    """The control of LKMM-01: an answer that were always the same would be worth nothing."""
    seen = herd.observe(gate.sources().path, litmus.fill(TESTS, made))
    wrong = [] if seen.word == word else [f"{made.test} with {made.operation}: {seen.word} instead of {word}"]
    never = [] if litmus.happens(seen) else [f"{made.test}: nobody gets the page while it is freed"]
    judged(verdict.judge_sources(f"herd7: {made.test} {made.operation}", wrong + never, None))
