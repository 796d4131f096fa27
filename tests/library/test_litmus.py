# SPDX-License-Identifier: GPL-2.0-only
"""How a put is read off a header, and what herd7's words mean."""

from pathlib import Path

import pytest

from kernelgate import litmus
from kernelgate.errors import InfrastructureError
from kernelgate.litmus import Put

ANSWER = """Test put-at-once Allowed
States 3
0:frees=0; 0:sees=0; 1:got=1;
0:frees=1; 0:sees=0; 1:got=0;
0:frees=1; 0:sees=-1; 1:got=1;
No
Witnesses
Positive: 0 Negative: 3
Condition exists (0:frees=1 /\\ 1:got=1 /\\ 0:sees=0)
Observation put-at-once Never 0 3
Time put-at-once 0.02
"""

HELPER = """
/* atomic_cmpxchg_release() would not do. */
static inline bool __freeze(struct page *page)
{
	return %s == 0;
}

"""
FUNCTIONS = """
static inline int page_ref_sub_and_test(struct page *page, int nr)
{
	int ret = %(sub)s;

	return ret;
}

static inline int page_ref_dec_and_test(struct page *page)
{
	int ret = %(dec)s;

	return ret;
}
"""


def _tree(folder: Path, sub: str, dec: str, helper: str = "") -> Path:
    header = folder / litmus.HEADER
    header.parent.mkdir(parents=True)
    header.write_text((HELPER % helper if helper else "") + FUNCTIONS % {"sub": sub, "dec": dec})
    return folder


SUB, DEC = "atomic_sub_and_test(nr, &page->_refcount)", "atomic_dec_and_test(&page->_refcount)"
LOOP = "atomic_try_cmpxchg%s(&page->_refcount, &count, atomic_read(x))"


def test_put_at_once(tmp_path: Path) -> None:
    assert litmus.put(_tree(tmp_path, SUB, DEC)) == Put("put-at-once", "atomic_dec_and_test")


@pytest.mark.parametrize("order", ["", "_relaxed", "_acquire"])
def test_put_in_two_steps_with_its_ordering(tmp_path: Path, order: str) -> None:
    tree = _tree(tmp_path, f"{SUB} && __freeze(page)", f"{DEC} && __freeze(page)", f"atomic_cmpxchg{order}(x, 0, 1)")
    assert litmus.put(tree) == Put("put-in-two-steps", f"atomic_cmpxchg{order}")


@pytest.mark.parametrize("order", ["", "_relaxed", "_acquire"])
def test_put_in_one_step_with_its_ordering(tmp_path: Path, order: str) -> None:
    tree = _tree(tmp_path, "__freeze(page)", "__freeze(page)", LOOP % order)
    assert litmus.put(tree) == Put("put-in-one-step", f"atomic_cmpxchg{order}")


@pytest.mark.parametrize(
    ("sub", "dec"),
    [
        (SUB, "atomic_xchg(&page->_refcount, 0)"),
        (SUB, "atomic_dec_and_test(x) && atomic_xchg(x, 1)"),
        (SUB, "atomic_dec_and_test(x) && atomic_cmpxchg(x, 0, 1)"),  # the two do not agree
        (SUB, "page->count--"),
    ],
)
def test_put_in_another_way_is_not_taken_for_a_known_one(tmp_path: Path, sub: str, dec: str) -> None:
    assert litmus.put(_tree(tmp_path, sub, dec)) is None


def test_put_in_another_way_is_a_finding(tmp_path: Path) -> None:
    found = litmus.findings(_tree(tmp_path, SUB, "page->count--"), Path("litmus"), litmus.Herd(("false",)))
    assert found == ["include/linux/page_ref.h: a put is made in a way that no litmus test in litmus/ is written for"]


def test_answer_has_its_word_and_all_ends() -> None:
    seen = litmus.observation(ANSWER, "")
    assert seen.word == "Never"
    assert seen.states[0] == {"0:frees": 0, "0:sees": 0, "1:got": 1}
    assert [end["0:sees"] for end in seen.states] == [0, 0, -1]


def test_test_that_never_comes_to_its_point_asks_nothing() -> None:
    assert not litmus.happens(litmus.observation(ANSWER, ""))
    assert litmus.happens(litmus.observation(ANSWER.replace("0:sees=-1", "0:sees=1"), ""))


@pytest.mark.parametrize(
    ("output", "complaint", "said"),
    [
        ("", "", "it says nothing at all"),
        ("", "Fatal error: cannot load linux-kernel.cfg\n", "cannot load linux-kernel.cfg"),
        (ANSWER.replace("Observation", "Observed"), "", "Test put-at-once Allowed"),
    ],
)
def test_no_answer_is_never_a_pass(output: str, complaint: str, said: str) -> None:
    with pytest.raises(InfrastructureError, match=f"herd7 gives no answer: .*{said}"):
        litmus.observation(output, complaint)


def test_herd_that_cannot_be_started_is_trouble_with_the_place(tmp_path: Path) -> None:
    (tmp_path / litmus.MODEL).mkdir(parents=True)
    with pytest.raises(InfrastructureError):
        litmus.Herd(("no-herd7-here",)).observe(tmp_path, "C test")
