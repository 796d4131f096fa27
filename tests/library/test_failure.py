# SPDX-License-Identifier: GPL-2.0-only
"""Which failures are the same one, on real splats of different kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelgate import dmesg, failure
from kernelgate.errors import InfrastructureError
from kernelgate.failure import Failure, Mark, shows
from kernelgate.verdict import Outcome, Verdict

# D3 as 7.2 shows it, with dax_insert_pfn_mkwrite() inlined into its caller and not
INLINED = Mark(
    "KERNEL_BUG", "kernel BUG in dax_finish_sync_fault: VM_BUG_ON_PAGE(__page_is_frozen(page))", "aa",
    "VM_BUG_ON_PAGE(__page_is_frozen(page))", "page_ref.h", "dax_finish_sync_fault",
    ("dax_finish_sync_fault", "ext4_dax_huge_fault", "__do_fault"),
)  # fmt: skip
OUTLINED = replace(
    INLINED,
    title="kernel BUG in dax_insert_pfn_mkwrite: VM_BUG_ON_PAGE(__page_is_frozen(page))",
    fingerprint="bb",
    function="dax_insert_pfn_mkwrite",
    trace=("dax_insert_pfn_mkwrite", *INLINED.trace),
)
ELSEWHERE = replace(
    OUTLINED, function="dax_fault_iter", fingerprint="cc", trace=("dax_fault_iter", "dax_iomap_pte_fault")
)
OTHER_CONDITION = replace(INLINED, condition="VM_BUG_ON_PAGE(page_count(page))", fingerprint="dd")


def crashed(*splats: Mark) -> Failure:
    return Failure(splats, (), "crashed: the guest died")


@pytest.mark.parametrize(
    ("seen", "same"),
    [
        (crashed(INLINED), True),
        (crashed(OUTLINED), True),
        (crashed(ELSEWHERE), False),
        (crashed(OTHER_CONDITION), False),
        (crashed(ELSEWHERE, INLINED), True),
        (crashed(), False),
    ],
)
def test_a_complaint_is_known_again_whatever_is_inlined(seen: Failure, same: bool) -> None:
    assert shows(crashed(INLINED), seen) is same
    assert shows(crashed(INLINED, ELSEWHERE), seen) is same


def test_without_a_condition_the_banner_has_to_be_the_same() -> None:
    oops = Mark("OOPS", "BUG: NULL pointer dereference in f", "aa", None, "", "f", ("f", "g"))
    assert shows(crashed(oops), crashed(replace(oops, title=f"{oops.title[:-1]}g", fingerprint="bb", function="g")))
    assert not shows(crashed(oops), crashed(replace(oops, title="Oops: int3 in f", fingerprint="bb")))


def failed(words: str) -> Failure:
    return failure.of(Verdict(Outcome.FAILED, tuple(words.split("\n"))))


REF_09 = "x: EXPECTATION FAILED at kg_page_ref.c:368\nExpected page_count(page) != 0, but\npage_count(page) == 0 (0x0)"


def test_an_expectation_is_known_by_its_line_whatever_the_values() -> None:
    seen = failed(REF_09.replace("== 0 (0x0)", "== 7 (0x7)"))
    assert failed(REF_09).places == ("kg_page_ref.c:368",)
    assert shows(failed(REF_09), seen)
    assert not shows(failed(REF_09), failed(REF_09.replace(":368", ":370")))
    assert shows(failed(REF_09), failed("y: EXPECTATION FAILED at /a/kmod/kg_page_ref.c:360\n" + REF_09))


def test_other_failures_are_known_by_their_words_without_numbers() -> None:
    chased = failed("page 0xffff8880 has raw 80000001 after 3 gets")
    assert shows(chased, failed("page 0xffff9990 has raw 80000002 after 12 gets"))
    assert not shows(chased, failed("page 0xffff8880 lost raw 80000001 after 3 gets"))
    assert not shows(chased, crashed(INLINED))


LOG = """\
[    2.4] ------------[ cut here ]------------
[    2.4] kernel BUG at include/linux/page_ref.h:202!
[    2.4] Oops: invalid opcode: 0000 [#1] SMP
[    2.4] RIP: 0010:dax_fault_iter+0x4e2/0x5a0
[    2.4] Call Trace:
[    2.4]  <TASK>
[    2.4]  dax_iomap_pte_fault+0x1c5/0x2d0
[    2.4]  </TASK>
[    2.4] ---[ end trace 0000000000000000 ]---
"""


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    judged = Verdict(Outcome.CRASHED, ("the guest died",), dmesg.splats(LOG))
    written = failure.of(judged)
    assert [(mark.kind, mark.file, mark.function) for mark in written.splats] == [
        ("KERNEL_BUG", "page_ref.h", "dax_fault_iter")
    ]
    failure.write(tmp_path / failure.FILE, written)
    assert failure.read(tmp_path) == written


@pytest.mark.parametrize("text", [None, "", "{}", '{"splats": [{}], "places": [], "words": ""}'])
def test_a_folder_without_a_whole_account_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / failure.FILE).write_text(text)
    with pytest.raises(InfrastructureError, match="left no account of itself"):
        failure.read(tmp_path)
