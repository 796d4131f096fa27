# SPDX-License-Identifier: GPL-2.0-only
"""A verdict is PASSED on positive evidence only; each test takes one piece of it away."""

from dataclasses import replace
from pathlib import Path

import pytest

from kernelgate import verdict
from kernelgate.dmesg import parse, parse_kmsg
from kernelgate.splat_formats import Kind
from kernelgate.variant import Assertions, Variant
from kernelgate.verdict import (
    Complaint,
    Evidence,
    Outcome,
    judge_boot,
    judge_case,
    judge_survival,
    judge_trigger,
    proven,
)

KTAP = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: page_ref
    # module: kg_page_ref
    1..3
    ok 1 counting_is_exact
    # frozen: EXPECTATION FAILED at kmod/kg_page_ref.c:12
    Expected raw == 0x80000000, but raw == 0
    not ok 2 frozen
    ok 3 get_fails # SKIP needs two nodes: --machine smp4-numa2
# page_ref: pass:1 fail:1 skip:1 total:3
# Totals: pass:1 fail:1 skip:1 total:3
not ok 1 page_ref
"""
GOOD = (
    KTAP.replace(
        "    # frozen: EXPECTATION FAILED at kmod/kg_page_ref.c:12\n    Expected raw == 0x80000000, but raw == 0\n", ""
    )
    .replace("not ok 2", "ok 2")
    .replace("not ok 1", "ok 1")
    .replace("pass:1 fail:1", "pass:2 fail:0")
)
BUG = """\
page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x4a3c
page dumped because: VM_BUG_ON_PAGE(__page_is_frozen(page))
------------[ cut here ]------------
kernel BUG at include/linux/page_ref.h:154!
Oops: invalid opcode: 0000 [#1] SMP
CPU: 1 UID: 0 PID: 77 Comm: sh Tainted: G           O        7.2.13 #1
RIP: 0010:kg_trigger_page_ref_add+0x31/0x40 [kg_crash]
Call Trace:
 <TASK>
 kg_crash_write+0x8e/0x110 [kg_crash]
 full_proxy_write+0x51/0x80
 vfs_write+0xbf/0x3e0
 </TASK>
---[ end trace 0000000000000000 ]---
"""
CONDITION = "VM_BUG_ON_PAGE(__page_is_frozen(page))"
HEADER = "include/linux/page_ref.h"
SURVIVED = "kg_crash: free_of_a_tail trigger survived"
WARNED = f"""\
------------[ cut here ]------------
WARNING: mm/page_alloc.c:7521 at free_contig_frozen_range+0x5c/0x70, CPU#1: sh/77
CPU: 1 UID: 0 PID: 77 Comm: sh Tainted: G           O        7.2.13 #1
RIP: 0010:free_contig_frozen_range+0x5c/0x70
Call Trace:
 <TASK>
 kg_trigger_free_of_a_tail+0x31/0x40 [kg_crash]
 kg_write+0x8e/0x110 [kg_crash]
 </TASK>
---[ end trace 0000000000000000 ]---
{SURVIVED}
"""
WARNING = Complaint(
    Kind.WARNING,
    "WARN_ON_ONCE(first_page != compound_head(first_page))",
    "mm/page_alloc.c",
    "free_contig_frozen_range",
    debug_vm=False,
)
PANIC = "the guest died: Kernel panic - not syncing: Fatal exception"


def evidence(text: str, first: int = 0, **changes: object) -> Evidence:
    log = "".join(f"6,{first + n},{1000 * n},-;{line}\n" for n, line in enumerate(text.splitlines()))
    sound = Evidence("insmod", 0, "", parse_kmsg(log), first, "", 0, verdict.KUNIT_TAINT)
    return replace(sound, **changes)


def death(text: str, reason: str = PANIC) -> Evidence:
    """What is left of a guest that died: its console."""
    return Evidence("echo trigger", console=text, death=reason)


DEATH = Complaint(
    Kind.KERNEL_BUG, CONDITION, HEADER, "kg_trigger_page_ref_add", since=Variant.ASSERTS, form=Assertions.BUG
)


def dies(found: Evidence, *wanted: Complaint) -> list[str]:
    return judge_trigger(found, wanted or [DEATH], "survived", no_source)


def no_source(file: str, number: int) -> str:
    """For a complaint that says what it is about: nobody looks the line up."""
    raise AssertionError(f"{file}:{number} was looked up")


def source(file: str, number: int) -> str:
    """The line that the warning above is from."""
    line = "\tif (WARN_ON_ONCE(first_page != compound_head(first_page)))"
    return line if (file, number) == ("mm/page_alloc.c", 7521) else ""


def warned(text: str = WARNED, **changes: object) -> Evidence:
    return evidence(text, **{"taint_after": verdict.TAINT_OOT_MODULE | verdict.TAINT_WARN, **changes})


def warns(found: Evidence) -> list[str]:
    return judge_trigger(found, [WARNING], SURVIVED, source)


def test_what_follows_from_a_death_is_told_apart_from_it() -> None:
    """Of a case that dies on arm64 the death is the reason; the two warnings after it are of its own making."""
    log = (Path(__file__).parent / "golden/arm64-7.2-vm_bug_on_folio_frozen.log").read_text()
    reasons = verdict.health(evidence("", records=parse(log)), verdict.KUNIT_TAINT)
    assert [reason.endswith("(follows from the death before it)") for reason in reasons] == [False, True, True]
    assert reasons[0].startswith("kernel BUG")


def test_the_same_complaint_again_and_again_is_one_line() -> None:
    found = evidence(WARNED * 3 + WARNED.replace("free_contig", "alloc_contig") + WARNED)
    title, other = "WARNING in free_contig_frozen_range", "WARNING in alloc_contig_frozen_range"
    assert verdict.health(found, verdict.KUNIT_TAINT)[:3] == [f"{title} (3 times)", other, title]


def test_nothing_heard_is_crashed() -> None:
    assert verdict.Verdict().outcome is Outcome.CRASHED


def test_case_with_its_ok_line_in_a_sound_guest_passes() -> None:
    assert judge_case(evidence(GOOD), "page_ref", "counting_is_exact").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": None}, "never answered"),
        ({"taint_after": None}, "never answered"),
        ({"status": 1, "output": "invalid module format"}, "status 1 invalid module format"),
        ({"taint_after": verdict.KUNIT_TAINT | 1 << 9}, "tainted W"),
        ({"death": "panic"}, "panic"),
        ({"records": ()}, "log is empty"),
    ],
)
def test_case_does_not_pass_without(changes: dict[str, object], reason: str) -> None:
    judged = judge_case(evidence(GOOD, **changes), "page_ref", "counting_is_exact")
    assert not judged.passed
    assert reason in judged.explain()


def test_gap_at_the_beginning_of_the_log_is_noticed() -> None:
    late = replace(evidence(GOOD, first=8), first=7)
    assert "gaps" in judge_case(late, "page_ref", "counting_is_exact").explain()


def test_gap_in_the_middle_of_the_log_is_noticed() -> None:
    whole = evidence(GOOD)
    torn = replace(whole, records=whole.records[:4] + whole.records[5:])
    assert "gaps" in judge_case(torn, "page_ref", "counting_is_exact").explain()


def test_failed_case_says_what_it_expected() -> None:
    judged = judge_case(evidence(KTAP), "page_ref", "frozen")
    assert judged.outcome is Outcome.FAILED
    assert "Expected raw == 0x80000000, but raw == 0" in judged.explain()


def test_skip_is_no_pass_and_names_the_remedy() -> None:
    judged = judge_case(evidence(GOOD), "page_ref", "get_fails")
    assert judged.outcome is Outcome.SKIPPED
    assert "smp4-numa2" in judged.explain()


def test_skip_in_an_unsound_guest_is_a_failure() -> None:
    assert judge_case(evidence(GOOD + BUG), "page_ref", "get_fails").outcome is Outcome.FAILED


def test_case_without_a_line_fails() -> None:
    assert "no result line" in judge_case(evidence(GOOD), "page_ref", "get_failed").explain()


def test_splat_beside_a_passing_case_fails_it() -> None:
    assert judge_case(evidence(GOOD + BUG), "page_ref", "counting_is_exact").outcome is Outcome.FAILED


def test_sound_run_proves_all_its_cases() -> None:
    assert set(proven(evidence(GOOD), "page_ref")) == {"counting_is_exact", "frozen", "get_fails"}


def test_red_run_proves_what_ended_before_the_first_red_line() -> None:
    assert set(proven(evidence(KTAP), "page_ref")) == {"counting_is_exact"}


def test_splat_ends_what_is_proven() -> None:
    begun, end = GOOD.split("    ok 2")
    assert set(proven(evidence(f"{begun}{BUG}    ok 2{end}"), "page_ref")) == {"counting_is_exact"}


def test_trouble_without_a_place_in_the_log_proves_nothing() -> None:
    assert proven(evidence(GOOD, taint_after=verdict.KUNIT_TAINT | 1 << 5), "page_ref") == {}


def test_dead_guest_proves_nothing() -> None:
    assert proven(evidence(GOOD, death="panic"), "page_ref") == {}


def test_required_death_is_recognised() -> None:
    assert dies(death(BUG)) == []


def test_survival_is_no_death() -> None:
    assert dies(evidence("kg_crash: page_ref_add trigger survived")) == [f"{CONDITION} did not fire"]


def test_guest_that_hangs_without_a_word_is_not_the_required_death() -> None:
    assert dies(death("", "the guest did not answer")) == ["the guest did not answer"]


def test_another_condition_is_another_death() -> None:
    assert dies(death(BUG.replace("__page_is_frozen(page)", "PageTail(page)")))


def test_death_in_another_file_is_another_death() -> None:
    assert dies(death(BUG.replace("include/linux/page_ref.h", "mm/page_alloc.c")))


def test_death_of_another_call_is_another_death() -> None:
    assert dies(death(BUG.replace("kg_trigger_page_ref_add", "kg_trigger_page_ref_sub")))


def test_second_splat_beside_the_death_is_noticed() -> None:
    warning = "------------[ cut here ]------------\nWARNING: mm/slub.c:12 at kfree+0x1/0x2, CPU#0: sh/7\n"
    assert any("besides" in reason for reason in dies(death(BUG + warning)))


def test_death_that_does_not_end_the_guest_is_doubted() -> None:
    assert "a guest that goes on" in dies(evidence(BUG))[0]


def test_hang_after_the_death_is_not_the_required_one() -> None:
    assert "asked for a panic" in dies(death(BUG, "the guest did not answer"))[0]
    assert "asked for a panic" in dies(death(BUG, f"{PANIC} in interrupt"))[0]


def test_required_warning_is_recognised() -> None:
    assert warns(warned()) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("page_alloc.c:7521", "page_alloc.c:7525", "asked for WARN_ON_ONCE(first_page"),
        ("mm/page_alloc.c:7521", "mm/cma.c:7521", "asked for a WARNING in mm/page_alloc.c"),
        ("free_contig_frozen_range", "free_contig_range", "asked for a WARNING in free_contig_frozen_range()"),
        (SURVIVED, "", "did the call return"),
    ],
)
def test_warning_must_be_the_one_asked_for(old: str, new: str, reason: str) -> None:
    assert any(reason in each for each in warns(warned(WARNED.replace(old, new))))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"taint_after": verdict.TAINT_OOT_MODULE}, "not tainted W"),
        ({"taint_after": verdict.TAINT_OOT_MODULE | verdict.TAINT_WARN | 1 << 5}, "tainted B"),
        ({"taint_after": None}, "never answered"),
        ({"status": 1}, "status 1"),
        ({"first": 1}, "log has gaps"),
    ],
)
def test_warning_must_be_survived_in_good_health(changes: dict[str, object], reason: str) -> None:
    found = warned(first=0) if "first" not in changes else replace(warned(first=2), first=1)
    rest = {name: value for name, value in changes.items() if name != "first"}
    assert any(reason in each for each in warns(replace(found, **rest)))


def test_warning_that_is_not_given_is_missed() -> None:
    assert warns(warned(SURVIVED)) == [f"{WARNING.condition} did not fire"]


def test_warning_that_is_given_twice_is_once_too_often() -> None:
    again = WARNED.replace(SURVIVED + "\n", "") + WARNED
    assert any("besides what was asked for" in each for each in warns(warned(again)))


def test_guest_that_dies_of_a_warning_has_not_survived_it() -> None:
    assert PANIC in warns(replace(death(WARNED), taint_after=None))


def test_warning_before_the_death_where_both_are_asked_for() -> None:
    both = death(WARNED.replace(SURVIVED + "\n", "") + BUG)
    assert judge_trigger(both, [WARNING, DEATH], SURVIVED, source) == []
    assert judge_trigger(both, [DEATH, WARNING], SURVIVED, source)
    assert judge_trigger(death(BUG), [WARNING, DEATH], SURVIVED, source)
    alone = judge_trigger(death(WARNED), [WARNING, DEATH], SURVIVED, source)
    assert f"{CONDITION} did not fire" in alone


def test_assertion_that_warns_is_not_one_that_kills() -> None:
    text = BUG.replace("VM_BUG_ON_PAGE", "VM_WARN_ON_ONCE_PAGE").replace(
        "kernel BUG at include/linux/page_ref.h:154!\nOops: invalid opcode: 0000 [#1] SMP",
        "WARNING: include/linux/page_ref.h:154 at kg_trigger_page_ref_add+0x31/0x40 [kg_crash], CPU#1: sh/77",
    )
    soft = replace(DEATH, kind=Kind.WARNING, condition=CONDITION.replace("VM_BUG_ON", "VM_WARN_ON_ONCE"))
    assert judge_trigger(warned(text + SURVIVED), [soft], SURVIVED, no_source) == []
    assert judge_trigger(warned(text + SURVIVED), [DEATH], SURVIVED, no_source)
    assert dies(death(BUG), soft)


def test_nothing_is_asked_of_a_kernel_without_the_check() -> None:
    calm = warned(SURVIVED, taint_after=verdict.TAINT_OOT_MODULE)
    assert judge_trigger(calm, [], SURVIVED, no_source) == []
    assert judge_trigger(warned(), [], SURVIVED, no_source)


@pytest.mark.parametrize(
    ("variant", "form", "debug_vm", "death", "warning"),
    [
        (Variant.UNPATCHED, Assertions.NONE, True, False, True),
        (Variant.UNPATCHED, Assertions.BUG, True, False, True),
        (Variant.ASSERTS, Assertions.BUG, True, True, True),
        (Variant.FROZEN_BIT, Assertions.BUG, True, True, True),
        (Variant.FROZEN_BIT, Assertions.WARN, True, False, True),
        (Variant.FROZEN_BIT, Assertions.NONE, True, False, True),
        (Variant.FROZEN_BIT, Assertions.BUG, False, False, True),
    ],
    ids=["unpatched", "bug-on-unpatched", "asserts", "bit", "bit-warns", "bit-asserts-nothing", "production"],
)
def test_check_is_asked_of_kernels_that_have_it(
    variant: Variant, form: Assertions, debug_vm: bool, death: bool, warning: bool
) -> None:
    assert DEATH.holds(variant, form, debug_vm) is death
    assert WARNING.holds(variant, form, debug_vm) is warning


DUMP = f"""page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0xdcc
flags: 0x0(node=0|zone=0)
raw: 0000000000000000 0000000000000000 dead000000000122 0000000000000000
raw: 0000000000000000 0000000000000000 80000000ffffffff 0000000000000000
page dumped because: as asked for
{SURVIVED}"""


def dumps(text: str = DUMP, *words: str, **changes: object) -> list[str]:
    found = evidence(text, **{"taint_after": verdict.TAINT_OOT_MODULE, **changes})
    return verdict.judge_dump(found, "as asked for", words or ("refcount:0 ", " 80000000ffffffff "), SURVIVED)


def test_page_dump_that_says_all_of_it() -> None:
    assert dumps() == []


@pytest.mark.parametrize(
    ("reasons", "word"),
    [
        (dumps(DUMP, "refcount:3 "), "does not say 'refcount:3 '"),
        (dumps(DUMP.replace("80000000ffffffff", "00000000ffffffff")), "does not say ' 80000000ffffffff '"),
        (dumps(SURVIVED), "asked for one page dump, got 0"),
        (dumps(DUMP.replace("as asked for", "VM_BUG_ON_PAGE(1)")), "besides the dump"),
        (dumps(f"{WARNED}\n{DUMP}"), "besides the dump: WARNING"),
        (dumps(DUMP.replace(SURVIVED, "")), "did the call return?"),
        (dumps(status=1), "status 1"),
        (dumps(taint_after=1 << 5), "tainted B"),
        (dumps(taint_after=None), "never answered"),
        (dumps(death="panic"), "panic"),
    ],
)
def test_page_dump_that_does_not(reasons: list[str], word: str) -> None:
    assert any(word in reason for reason in reasons), reasons


def test_trigger_with_nothing_to_try_is_skipped_in_a_sound_guest_only() -> None:
    said = "kg_crash: free_of_a_tail skipped:"
    found = evidence(f"{said} no such function: run with --base 7.2", taint_after=verdict.TAINT_OOT_MODULE)
    why = verdict.skip_reason(found, said)
    assert why == "no such function: run with --base 7.2"
    assert verdict.skipped(why, found).outcome is Outcome.SKIPPED
    assert verdict.skipped(why, replace(found, taint_after=1 << 9)).outcome is Outcome.FAILED
    assert verdict.skip_reason(found, "kg_crash: another skipped:") == ""


def test_survivor_must_say_that_it_came_back() -> None:
    said = "kg_crash: page_ref_add control survived"
    assert judge_survival(evidence(said, taint_after=verdict.TAINT_OOT_MODULE), said) == []
    assert judge_survival(evidence("nothing", taint_after=verdict.TAINT_OOT_MODULE), said)
    assert judge_survival(evidence(said + "\n" + BUG, taint_after=verdict.TAINT_OOT_MODULE), said)


def test_boot_that_is_not_what_was_asked_for_fails() -> None:
    good = evidence("Linux version 7.2.13", taint_after=0)
    assert judge_boot(good, [("CPUs online", "0-3", "0-3")]).passed
    assert "asked for 0-3, got 0-1" in judge_boot(good, [("CPUs online", "0-3", "0-1")]).explain()


def test_taint_letters_are_those_of_the_kernel() -> None:
    assert verdict.taint_letters(1 << 7 | 1 << 12) == "DO"
