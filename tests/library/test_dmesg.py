# SPDX-License-Identifier: GPL-2.0-only
"""The kernel log: records, gaps, and complaints, each written by hand after the printk format it names."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from kernelgate import dmesg
from kernelgate.dmesg import Gap, Record
from kernelgate.splat_formats import Kind

# ---------------------------------------------------------------------------------------------- records


def test_kmsg_record_has_all_fields_and_its_properties_are_not_text() -> None:
    """Documentation/ABI/testing/dev-kmsg: the prefix holds level and facility, then lines " KEY=value"."""
    text = "6,339,5140900,-;virtio_net virtio0: up\n SUBSYSTEM=virtio\n DEVICE=+virtio:virtio0\n4,340,5140950,-;next\n"
    assert dmesg.parse(text) == (
        Record(339, 6, 5.1409, "virtio_net virtio0: up"),
        Record(340, 4, 5.14095, "next"),
    )


def test_kmsg_record_of_a_program_keeps_its_facility() -> None:
    """dev-kmsg: a program cannot write as facility 0; 12 is LOG_USER (1 << 3) with level 4."""
    (record,) = dmesg.parse_kmsg("12,7,1000000,-;hello\n")
    assert (record.facility, record.level) == (1, 4)


def test_kmsg_caller_and_escaped_lines() -> None:
    """CONFIG_PRINTK_CALLER adds caller=; a line feed within one printk is written as \\x0a."""
    found = dmesg.parse_kmsg(r"4,9,2000000,-,caller=T77;first\x0asecond" + "\n")
    assert found == (Record(9, 4, 2.0, "first", "T77"), Record(9, 4, 2.0, "second", "T77"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[   12.345678] plain", Record(0, None, 12.345678, "plain")),
        ("[   12.345678][  T123] with caller", Record(0, None, 12.345678, "with caller", "T123")),
        ("[    0.000000][    C1] on a CPU\r", Record(0, None, 0.0, "on a CPU", "C1")),
        ("<4>[    1.000000] with level", Record(0, 4, 1.0, "with level")),
        ("<6>level alone", Record(0, 6, None, "level alone")),
        ("no prefix", Record(0, None, None, "no prefix")),
        ("\x1b[32m[    1.500000] \x1b[0mcoloured\x1b[K", Record(0, None, 1.5, "coloured")),
        ("[    1.000000]  indented", Record(0, None, 1.0, " indented")),
        ("Nov 20 11:00:00 host kernel: [    3.000000] syslog", Record(0, None, 3.0, "syslog")),
    ],
)
def test_console_line(line: str, expected: Record) -> None:
    assert dmesg.parse_console(line) == (expected,)


def test_console_line_of_two_printers_is_two_records() -> None:
    """A printk begins in the middle of what a program was writing."""
    texts = [record.text for record in dmesg.parse_console("login: [    3.100000] BUG: memory leak")]
    assert texts == ["login:", "BUG: memory leak"]


def test_gaps_in_kmsg() -> None:
    log = dmesg.parse_kmsg("6,5,0,-;a\n6,6,0,-;b\n6,9,0,-;c\n6,10,0,-;d\n")
    assert dmesg.gaps(log) == (Gap(7, 8),)
    assert dmesg.gaps(log, first=0) == (Gap(0, 4), Gap(7, 8))


def test_no_gap_in_a_whole_log() -> None:
    log = dmesg.parse_kmsg(r"6,0,0,-;a\x0ab" + "\n6,1,0,-;c\n")
    assert dmesg.gaps(log, first=0) == ()


def test_dropped_console_lines_are_a_gap() -> None:
    """kernel/printk/printk.c, console_prepend_dropped()."""
    log = dmesg.parse_console("[    1.000000] a\n** 12 printk messages dropped **\n[    2.000000] b\n")
    assert dmesg.gaps(log) == (Gap(1, 12),)


# ---------------------------------------------------------------------------------------------- kinds

X86_REGISTERS = """\
CPU: 1 UID: 0 PID: 77 Comm: insmod Tainted: G           O        7.2.13 #1 PREEMPT(none)
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2
RIP: 0010:{function}+0x42/0x60
Code: 48 c7 c6 00 00 <0f> 0b
RSP: 0018:ffffc900001efde8 EFLAGS: 00010246
RAX: 0000000000000000 RBX: ffffea000040ba00 RCX: 0000000000000000
Call Trace:
 <TASK>
 ? page_fault_oops+0x1a/0x60
 the_caller+0x54/0x90
 vfs_write+0xd2/0x410
 </TASK>
Modules linked in: kg_crash(O)
---[ end trace 0000000000000000 ]---
"""

TRACE = """\
CPU: 0 UID: 0 PID: 9 Comm: sh Not tainted 7.2.13 #1 PREEMPT(none)
Call Trace:
 <TASK>
 dump_stack_lvl+0x54/0x70
 {function}+0x42/0x60
 vfs_write+0xd2/0x410
 </TASK>
"""

PAGE = """\
page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x102e8
flags: 0x100000000000000(node=0|zone=1)
raw: 0100000000000000 dead000000000100 dead000000000122 0000000000000000
raw: 0000000000000000 0000000000000000 80000000ffffffff 0000000000000000
page dumped because: {reason}
"""

CUT = "------------[ cut here ]------------\n"
DOUBLE = "=" * 66 + "\n"


def _trace(function: str) -> str:
    return TRACE.format(function=function)


def _registers(function: str) -> str:
    return X86_REGISTERS.format(function=function)


# rule (file and function of Linux 7.2 that prints it; an age where the wording is gone), log, kind, title
CASES = [
    (
        "kernel/panic.c __warn()",
        CUT + "WARNING: mm/page_alloc.c:5329 at __alloc_frozen_pages_noprof+0x2d2/0x2f0, CPU#1: insmod/77\n"
        "Modules linked in: kg(O)\n" + _registers("__alloc_frozen_pages_noprof"),
        Kind.WARNING,
        "WARNING in __alloc_frozen_pages_noprof",
    ),
    (
        "kernel/panic.c __warn() in a module",
        CUT + "kg_crash: warning as asked for\n"
        "WARNING: kg_crash.c:101 at kg_trigger_warning+0xf/0x20 [kg_crash], CPU#1: sh/9\n"
        + _registers("kg_trigger_warning"),
        Kind.WARNING,
        "WARNING in kg_trigger_warning",
    ),
    (
        "lib/bug.c __report_bug() in a module, without a file",
        CUT + "kernel BUG at kg_trigger_bug+0xf/0x20 [kg_crash 0123456789abcdef] [verbose debug info unavailable]\n",
        Kind.KERNEL_BUG,
        "kernel BUG",
    ),
    (
        "lib/refcount.c, a number that is a part of the words",
        CUT + "refcount_t: addition on 0; use-after-free.\n"
        "WARNING: lib/refcount.c:25 at refcount_warn_saturate+0x4f/0x70, CPU#1: sh/9\n"
        + _registers("refcount_warn_saturate"),
        Kind.REFCOUNT,
        "refcount_t: addition on 0; use-after-free in the_caller",
    ),
    (
        "kernel/panic.c __warn(), caller 0 of WARN() with arguments on x86",
        CUT + "a message of its own 17\nWARNING: mm/swap.c:12 at 0x0, CPU#1: sh/77\n" + _registers("folio_mark_foo"),
        Kind.WARNING,
        "WARNING in folio_mark_foo",
    ),
    (
        "kernel/panic.c __warn() until 6.18",
        CUT + "WARNING: CPU: 0 PID: 1 at mm/memremap.c:120 memunmap_pages+0x12/0x34\n" + _registers("memunmap_pages"),
        Kind.WARNING,
        "WARNING in memunmap_pages",
    ),
    (
        "lib/bug.c __report_bug()",
        PAGE.format(reason="VM_BUG_ON_PAGE(page_ref_count(page) == 0)")
        + CUT
        + "kernel BUG at include/linux/mm.h:1178!\nOops: invalid opcode: 0000 [#1] SMP\n"
        + _registers("put_page_testzero"),
        Kind.KERNEL_BUG,
        "kernel BUG in put_page_testzero: VM_BUG_ON_PAGE(page_ref_count(page) == 0)",
    ),
    (
        "arch/arm64/kernel/traps.c __die() for BUG()",
        CUT + "kernel BUG at mm/swap.c:12!\nInternal error: Oops - BUG: 00000000f2000800 [#1]  SMP\n"
        "Modules linked in:\nCPU: 0 UID: 0 PID: 9 Comm: sh Not tainted 7.2.13 #1 PREEMPT\npstate: 60400005\n"
        "pc : folio_put_refs+0x40/0x60\nlr : folio_put_refs+0x40/0x60\nsp : ffff800080b93c10\nx29: ffff800080b93c10\n"
        "Call trace:\n folio_put_refs+0x40/0x60 (P)\n the_caller+0x10/0x20\nCode: aa1303e0 (d4210000)\n"
        "---[ end trace 0000000000000000 ]---\n",
        Kind.KERNEL_BUG,
        "kernel BUG in folio_put_refs",
    ),
    (
        "arch/x86/mm/fault.c show_fault_oops(), NULL",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008\n#PF: supervisor read access in kernel mode\n"
        "#PF: error_code(0x0000) - not-present page\nPGD 0 P4D 0 \nOops: Oops: 0000 [#1] SMP\n" + _registers("foo"),
        Kind.OOPS,
        "kernel NULL pointer dereference in foo",
    ),
    (
        "arch/x86/mm/fault.c show_fault_oops()",
        "BUG: unable to handle page fault for address: ffffea0000401034\n#PF: supervisor write access in kernel mode\n"
        "#PF: error_code(0x0003) - permissions violation\nOops: Oops: 0003 [#1] SMP\n" + _registers("foo"),
        Kind.OOPS,
        "unable to handle kernel paging request in foo",
    ),
    (
        "arch/arm64/mm/fault.c die_kernel_fault()",
        "Unable to handle kernel paging request at virtual address ffff800080b93c10\nMem abort info:\n"
        "  ESR = 0x0000000096000006\nswapper pgtable: 4k pages, 48-bit VAs, pgdp=0000000041a6d000\n"
        "[ffff800080b93c10] pgd=0000000000000000\nInternal error: Oops: 0000000096000006 [#1]  SMP\n"
        "pc : foo+0x40/0x60\nlr : bar+0x40/0x60\nCall trace:\n foo+0x40/0x60 (P)\n",
        Kind.OOPS,
        "unable to handle kernel paging request in foo",
    ),
    (
        "arch/x86/kernel/traps.c exc_general_protection()",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP\n"
        "KASAN: maybe wild-memory-access in range [0xdead000000000108-0xdead00000000010f]\n" + _registers("foo"),
        Kind.GENERAL_PROTECTION,
        "general protection fault in foo",
    ),
    (
        "arch/x86/kernel/dumpstack.c __die_header() before 6.9",
        "general protection fault: 0000 [#1] SMP\n" + _registers("foo"),
        Kind.GENERAL_PROTECTION,
        "general protection fault in foo",
    ),
    (
        "arch/x86/kernel/traps.c exc_divide_error()",
        "Oops: divide error: 0000 [#1] SMP\n" + _registers("foo"),
        Kind.TRAP,
        "divide error in foo",
    ),
    (
        "arch/x86/kernel/traps.c exc_double_fault()",
        "traps: PANIC: double fault, error_code: 0x0\nOops: double fault: 0000 [#1] SMP\n" + _registers("foo"),
        Kind.STACK,
        "double fault in foo",
    ),
    (
        "arch/x86/kernel/traps.c handle_stack_overflow()",
        "BUG: TASK stack guard page was hit at ffffc900001effe8 (stack is ffffc900001f0000..ffffc900001f4000)\n"
        "Oops: stack guard page: 0000 [#1] SMP\n" + _registers("foo"),
        Kind.STACK,
        "stack guard page was hit in foo",
    ),
    (
        "arch/arm64/kernel/traps.c panic_bad_stack()",
        "Insufficient stack space to handle exception!\nESR: 0x0000000096000047 -- DABT (current EL)\n"
        "pc : foo+0x40/0x60\nKernel panic - not syncing: kernel stack overflow\n",
        Kind.STACK,
        "kernel stack overflow in foo",
    ),
    (
        "kernel/panic.c __stack_chk_fail()",
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: foo+0x12/0x34\n" + _trace("foo"),
        Kind.STACK,
        "kernel stack is corrupted in foo",
    ),
    (
        "kernel/panic.c vpanic()",
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
        Kind.PANIC,
        "kernel panic: VFS: Unable to mount root fs on unknown-block(NUM,NUM)",
    ),
    (
        "mm/page_alloc.c bad_page()",
        "BUG: Bad page state in process sh  pfn:102e8\n"
        + PAGE.format(reason="nonzero _refcount")
        + "Modules linked in:\n"
        + _trace("free_pages_and_swap_cache"),
        Kind.BAD_PAGE_STATE,
        "bad page state in free_pages_and_swap_cache",
    ),
    (
        "mm/memory.c print_bad_page_map()",
        "BUG: Bad page map in process sh  pte:8000000102e8067\npgd:103d9067 p4d:103d9067\n"
        "addr:00007f1f8a3d1000 vm_flags:08100073\n" + _trace("zap_pte_range"),
        Kind.BAD_PAGE_MAP,
        "bad page map in zap_pte_range",
    ),
    (
        "mm/pgtable-generic.c pmd_clear_bad()",
        "mm/pgtable-generic.c:54: bad pmd ffff888003b1c008(0000000000000068)\n",
        Kind.BAD_PAGE_MAP,
        "bad pmd",
    ),
    (
        "kernel/fork.c check_mm()",
        "BUG: Bad rss-counter state mm:000000009f1e5f6b type:MM_ANONPAGES val:1 Comm:sh Pid:77\n",
        Kind.BAD_RSS_COUNTER,
        "bad rss-counter state",
    ),
    ("mm/debug.c dump_page()", PAGE.format(reason="unmovable page"), Kind.PAGE_DUMP, "page dump: unmovable page"),
    (
        "lib/list_debug.c with CONFIG_BUG_ON_DATA_CORRUPTION",
        "list_del corruption. prev->next should be ffff888003b1c008, but was dead000000000100. (prev=0)\n"
        + CUT
        + "kernel BUG at lib/list_debug.c:62!\nOops: invalid opcode: 0000 [#1] SMP\n"
        + _registers("__list_del_entry_valid_or_report"),
        Kind.LIST_CORRUPTION,
        "list corruption in the_caller",
    ),
    (
        "lib/list_debug.c with WARN()",
        CUT + "list_add corruption. next->prev should be prev (ffff88800), but was 0. (next=ffff88801).\n"
        "WARNING: lib/list_debug.c:29 at __list_add_valid_or_report+0x5c/0xa0, CPU#0: sh/9\n"
        + _registers("__list_add_valid_or_report"),
        Kind.LIST_CORRUPTION,
        "list corruption in the_caller",
    ),
    (
        "lib/refcount.c refcount_warn_saturate()",
        CUT + "refcount_t: underflow; use-after-free.\n"
        "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x5c/0xa0, CPU#0: sh/9\n"
        + _registers("refcount_warn_saturate"),
        Kind.REFCOUNT,
        "refcount_t: underflow; use-after-free in the_caller",
    ),
    (
        "lib/debugobjects.c debug_print_object()",
        CUT + "ODEBUG: free active (active state 0) object: ffff8880 object type: timer_list hint: fn+0x0/0x10\n"
        "WARNING: lib/debugobjects.c:612 at debug_print_object+0x5c/0xa0, CPU#0: sh/9\n"
        + _registers("debug_print_object"),
        Kind.DEBUG_OBJECTS,
        "ODEBUG: free active in the_caller",
    ),
    (
        "mm/usercopy.c usercopy_abort()",
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset 0, size 80)!\n"
        + CUT
        + "kernel BUG at mm/usercopy.c:102!\nOops: invalid opcode: 0000 [#1] SMP\n"
        + _registers("usercopy_abort"),
        Kind.USERCOPY,
        "bad usercopy in the_caller",
    ),
    (
        "mm/kasan/report.c print_error_description()",
        DOUBLE
        + "BUG: KASAN: slab-use-after-free in foo+0x12/0x34\nRead of size 4 at addr ffff888003b1c008 by task sh/9\n\n"
        + _trace("foo")
        + "\nAllocated by task 9:\n kasan_save_stack+0x20/0x40\n bar+0x12/0x34\n\n"
        "The buggy address belongs to the physical page:\n" + PAGE.format(reason="kasan: bad access detected") + DOUBLE,
        Kind.KASAN,
        "KASAN: slab-use-after-free Read in foo",
    ),
    (
        "kernel/kcsan/report.c print_report()",
        DOUBLE + "BUG: KCSAN: data-race in folio_try_get / page_ref_freeze\n\n"
        "write to 0xffffea000040ba34 of 4 bytes by task 9 on cpu 1:\n folio_try_get+0x12/0x34\n kthread+0x1/0x2\n\n"
        "read to 0xffffea000040ba34 of 4 bytes by task 8 on cpu 0:\n page_ref_freeze+0x12/0x34\n\n"
        "value changed: 0x00000001 -> 0x80000000\n\nReported by Kernel Concurrency Sanitizer on:\n" + DOUBLE,
        Kind.KCSAN,
        "KCSAN: data-race in folio_try_get",
    ),
    (
        "mm/kfence/report.c kfence_report_error()",
        DOUBLE
        + "BUG: KFENCE: out-of-bounds read in foo+0x12/0x34\n\nOut-of-bounds read at 0x0 (1B left of kfence-#1):\n"
        " foo+0x12/0x34\n" + DOUBLE,
        Kind.KFENCE,
        "KFENCE: out-of-bounds read in foo",
    ),
    (
        "lib/ubsan.c ubsan_prologue()",
        CUT
        + "UBSAN: array-index-out-of-bounds in mm/slub.c:120:9\nindex 4 is out of range for type 'int [4]'\n"
        + _trace("foo")
        + "---[ end trace ]---\n",
        Kind.UBSAN,
        "UBSAN: array-index-out-of-bounds in foo",
    ),
    (
        "mm/kmemleak.c print_unreferenced()",
        'kmemleak: unreferenced object 0xffff888003b1c008 (size 64):\nkmemleak:   comm "sh", pid 9, jiffies 4294\n',
        Kind.MEMORY_LEAK,
        "memory leak",
    ),
    (
        "mm/kmemleak.c kmemleak_scan()",
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n",
        Kind.MEMORY_LEAK,
        "memory leak",
    ),
    (
        "mm/slub.c __slab_bug()",
        "=" * 77 + "\nBUG kmalloc-64 (Tainted: G           O       ): Right Redzone overwritten\n" + "-" * 77 + "\n\n"
        "0xffff888003b1c040-0xffff888003b1c047 @offset=64. First byte 0x61 instead of 0xcc\n"
        "Slab 0xffffea00000ec700 objects=32 used=3 fp=0x0\n" + _trace("foo"),
        Kind.SLAB,
        "slab: Right Redzone overwritten in foo",
    ),
    (
        "mm/slab.c __slab_error(), gone in 6.8",
        "slab error in verify_redzone_free(): cache `kmalloc-64': double free detected\n" + _trace("foo"),
        Kind.SLAB,
        "slab: cache `kmalloc-64': double free detected in foo",
    ),
    (
        "kernel/locking/lockdep.c print_unlock_imbalance_bug()",
        DOUBLE + "WARNING: bad unlock balance detected!\n7.2.13 #1 Not tainted\n" + "-" * 38 + "\n"
        "sh/9 is trying to release lock (mrt_lock) at:\n[<ffffffff832c8414>] ipmr_mfc_seq_stop+0xe4/0x140\n"
        "but there are no more locks to release!\n" + _trace("seq_read"),
        Kind.LOCKDEP,
        "bad unlock balance in ipmr_mfc_seq_stop",
    ),
    *(
        (
            f"kernel/locking/lockdep.c: {banner}",
            f"{DOUBLE}{banner}\n7.2.13 #1 Not tainted\n{'-' * 54}\nsh/9 is trying to acquire lock:\n"
            "ffff888003b1c008 (&x->lock){....}-{3:3}, at: foo+0x12/0x34\n\nbut task is already holding lock:\n"
            "ffff888003b1c018 (&y->lock){....}-{3:3}, at: bar+0x12/0x34\n\nstack backtrace:\n" + _trace("foo"),
            Kind.LOCKDEP,
            f"{title} in foo",
        )
        for banner, title in (
            ("WARNING: possible circular locking dependency detected", "possible circular locking dependency"),
            ("WARNING: possible recursive locking detected", "possible recursive locking"),
            ("WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", "irq-unsafe lock order"),
            ("WARNING: possible irq lock inversion dependency detected", "possible irq lock inversion"),
            ("WARNING: inconsistent lock state", "inconsistent lock state"),
            ("WARNING: Nested lock was not taken", "nested lock was not taken"),
            ("WARNING: bad unlock balance detected!", "bad unlock balance"),
            ("WARNING: bad contention detected!", "bad contention"),
            ("WARNING: held lock freed!", "held lock freed"),
            ("WARNING: sh/9 still has locks held!", "still has locks held"),
            ("WARNING: lock held when returning to user space!", "lock held when returning to user space"),
            ("[ BUG: Invalid wait context ]", "invalid wait context"),
            ("[ INFO: possible recursive locking detected ]", "possible recursive locking"),
        )
    ),
    (
        "kernel/locking/lockdep.c print_lockdep_off()",
        "BUG: MAX_LOCKDEP_CHAINS too low!\nturning off the locking correctness validator.\n",
        Kind.LOCKDEP,
        "lockdep: MAX_LOCKDEP_CHAINS too low",
    ),
    (
        "kernel/locking/lockdep.c assign_lock_key()",
        "INFO: trying to register non-static key.\nThe code is fine but needs lockdep annotation, or maybe\n"
        + _trace("foo"),
        Kind.LOCKDEP,
        "trying to register non-static key in foo",
    ),
    (
        "kernel/locking/lockdep.c, DEBUG_LOCKS_WARN_ON()",
        CUT
        + "DEBUG_LOCKS_WARN_ON(1)\nWARNING: kernel/locking/lockdep.c:5011 at __lock_acquire+0x12/0x34, CPU#0: sh/9\n"
        + _registers("__lock_acquire"),
        Kind.LOCKDEP,
        "WARNING in the_caller",
    ),
    (
        "kernel/locking/lockdep.c lockdep_rcu_suspicious()",
        DOUBLE + "WARNING: suspicious RCU usage\n7.2.13 #1 Not tainted\n" + "-" * 29 + "\n"
        "mm/filemap.c:1917 suspicious rcu_dereference_check() usage!\n\nother info that might help us debug this:\n\n"
        "stack backtrace:\n" + _trace("foo"),
        Kind.RCU_USAGE,
        "suspicious RCU usage in foo",
    ),
    (
        "kernel/rcu/tree_stall.h print_cpu_stall()",
        "rcu: INFO: rcu_preempt self-detected stall on CPU\nrcu: \t0-....: (5250 ticks this GP) idle=1/1/0x4\n"
        "rcu: \t(t=5250 jiffies g=-1131 q=2 ncpus=4)\n" + _registers("foo"),
        Kind.RCU_STALL,
        "RCU stall in foo",
    ),
    (
        "kernel/rcu/tree_stall.h print_other_cpu_stall()",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n",
        Kind.RCU_STALL,
        "RCU stall",
    ),
    (
        "kernel/rcu/tree_exp.h synchronize_rcu_expedited_stall()",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 3 root: 0x2/.\n",
        Kind.RCU_STALL,
        "RCU stall",
    ),
    (
        "kernel/rcu/tasks.h check_all_holdout_tasks_trace()",
        "INFO: rcu_tasks_trace detected stalls on tasks:\n",
        Kind.RCU_STALL,
        "RCU stall",
    ),
    (
        "kernel/watchdog.c watchdog_timer_fn()",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kworker/1:3:77]\nModules linked in:\n" + _registers("foo"),
        Kind.SOFT_LOCKUP,
        "soft lockup in foo",
    ),
    (
        "kernel/watchdog.c watchdog_hardlockup_check()",
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 2\nModules linked in:\n" + _registers("foo"),
        Kind.HARD_LOCKUP,
        "hard lockup in foo",
    ),
    (
        "kernel/watchdog_hld.c before 6.5",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2\n" + _registers("foo"),
        Kind.HARD_LOCKUP,
        "hard lockup in foo",
    ),
    (
        "kernel/hung_task.c hung_task_info()",
        "INFO: task kworker/0:1:9 blocked in I/O wait for more than 122 seconds.\n      Not tainted 7.2.13 #1\n"
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.\n'
        "task:kworker/0:1   state:D stack:0 pid:9 tgid:9 ppid:2\nCall Trace:\n <TASK>\n __schedule+0x1/0x2\n"
        " schedule+0x1/0x2\n folio_wait_bit_common+0x1/0x2\n foo+0x12/0x34\n </TASK>\n",
        Kind.HUNG_TASK,
        "task hung in foo",
    ),
    (
        "kernel/workqueue.c wq_watchdog_timer_fn()",
        "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 32s!\nShowing busy workqueues:\n",
        Kind.WORKQUEUE,
        "workqueue lockup",
    ),
    (
        "kernel/workqueue.c process_one_work()",
        "BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[9]\n     preempt=0x00000000 lock=0->1 RCU=0->0\n",
        Kind.WORKQUEUE,
        "workqueue leaked a lock or atomic context",
    ),
    (
        "kernel/locking/spinlock_debug.c spin_dump()",
        "BUG: spinlock bad magic on CPU#1, sh/9\n lock: 0xffff8880, .magic: 00000000\n" + _trace("foo"),
        Kind.SPINLOCK,
        "spinlock bad magic in foo",
    ),
    (
        "kernel/sched/core.c __schedule_bug()",
        "BUG: scheduling while atomic: sh/9/0x00000002\nModules linked in:\n" + _trace("foo"),
        Kind.ATOMIC_SLEEP,
        "scheduling while atomic in foo",
    ),
    (
        "kernel/sched/core.c __might_resched()",
        "BUG: sleeping function called from invalid context at mm/page_alloc.c:4701\n"
        "in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 9, name: sh\npreempt_count: 1, expected: 0\n"
        + _trace("foo"),
        Kind.ATOMIC_SLEEP,
        "sleeping function called from invalid context in foo",
    ),
    (
        "lib/smp_processor_id.c check_preemption_disabled()",
        "BUG: using smp_processor_id() in preemptible [00000000] code: sh/9\ncaller is foo+0x12/0x34\n" + _trace("foo"),
        Kind.PREEMPTIBLE,
        "using smp_processor_id() in preemptible code in foo",
    ),
    (
        "init/main.c, the banner of a second boot",
        2 * "[    0.000000] Linux version 7.2.13 (x) #1 SMP\n[    1.000000] up\n",
        Kind.REBOOT,
        "unexpected reboot",
    ),
    (
        "the banner after the end of a log whose beginning is lost",
        "[   60.000000] up\n[    0.000000] Linux version 7.2.13 (x) #1 SMP\n",
        Kind.REBOOT,
        "unexpected reboot",
    ),
    ("a BUG: without a row of its own", "BUG: arch topology borken\n", Kind.BUG, "BUG: arch topology borken"),
    ("a report without a known banner", CUT + _registers("foo"), Kind.UNKNOWN, "unrecognised report in foo"),
    ("an end without a beginning", "---[ end trace 0000000000000000 ]---\n", Kind.UNKNOWN, "unrecognised report"),
    (
        "arch/arm64/kernel/traps.c arm64_serror_panic()",
        "SError Interrupt on CPU1, code 0x00000000be000011 -- SError\npc : foo+0x40/0x60\n"
        "Kernel panic - not syncing: Asynchronous SError Interrupt\n",
        Kind.OOPS,
        "unhandled exception in foo",
    ),
    (
        "arch/arm64/kernel/traps.c __die() alone",
        "Internal error: synchronous external abort: 0000000096000050 [#1]  SMP\npc : foo+0x40/0x60\n",
        Kind.OOPS,
        "internal error: synchronous external abort in foo",
    ),
    (
        "arch/x86/kernel/dumpstack.c __die_header(), BUG() without CONFIG_DEBUG_BUGVERBOSE",
        PAGE.format(reason="VM_BUG_ON_PAGE(PageTail(page))")
        + "Oops: invalid opcode: 0000 [#1] SMP\n"
        + _registers("foo"),
        Kind.KERNEL_BUG,
        "kernel BUG in foo: VM_BUG_ON_PAGE(PageTail(page))",
    ),
    (
        "arch/arm64/kernel/traps.c bug_brk_handler() without CONFIG_DEBUG_BUGVERBOSE",
        PAGE.format(reason="VM_BUG_ON_PAGE(PageTail(page))")
        + "Internal error: Oops - BUG: 00000000f2000800 [#1]  SMP\npc : foo+0x44/0x50 [kg_crash]\n",
        Kind.KERNEL_BUG,
        "kernel BUG in foo: VM_BUG_ON_PAGE(PageTail(page))",
    ),
    (
        "arch/x86/mm/fault.c page_fault_oops() alone",
        "Oops: Oops: 0002 [#1] SMP\n" + _registers("foo"),
        Kind.OOPS,
        "oops in foo",
    ),
    (
        "mm/debug.c __dump_page() without a reason",
        PAGE.split("page dumped")[0],
        Kind.PAGE_DUMP,
        "page dump",
    ),
    (
        "lib/debugobjects.c before 5.19, without a state",
        CUT + "ODEBUG: free active object type: timer_list hint: fn+0x0/0x10\n"
        "WARNING: CPU: 0 PID: 9 at lib/debugobjects.c:325 debug_print_object+0x5c/0xa0\n"
        + _registers("debug_print_object"),
        Kind.DEBUG_OBJECTS,
        "ODEBUG: free active in the_caller",
    ),
    (
        "kernel/sched/core.c schedule_debug()",
        "Kernel panic - not syncing: corrupted stack end detected inside scheduler\n" + _trace("foo"),
        Kind.STACK,
        "corrupted stack end in foo",
    ),
    (
        "kernel/rcu/tree_stall.h rcu_check_gp_kthread_starvation(), in a stall",
        "rcu: INFO: rcu_preempt self-detected stall on CPU\n"
        + _registers("foo").split("---[")[0]
        + "rcu: rcu_preempt kthread starved for 5250 jiffies! g-1131 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1\n",
        Kind.RCU_STALL,
        "RCU stall in foo",
    ),
    (
        "mm/kasan/report.c kasan_report_async()",
        DOUBLE + "BUG: KASAN: invalid-access\nAsynchronous fault: no details available\n" + _trace("foo") + DOUBLE,
        Kind.KASAN,
        "KASAN: invalid-access in foo",
    ),
    (
        "kernel/panic.c __warn() without a file",
        CUT + "WARNING: at foo+0x12/0x34, CPU#1: sh/9\n" + _registers("foo"),
        Kind.WARNING,
        "WARNING in foo",
    ),
    *(
        (f"{rule}: {line}", f"{line}\n", kind, title)
        for rule, line, kind, title in (
            (
                "arch/arm/mm/alignment.c",
                "Alignment trap: not handling instruction e1932f9f",
                Kind.TRAP,
                "alignment trap",
            ),
            ("arch/arm/mm/fault.c", "Unhandled fault: page domain fault (0x01b) at 0x0", Kind.OOPS, None),
            ("arch/x86/mm/fault.c", "sh: Corrupted page table at address 7f00", Kind.OOPS, "corrupted page table"),
            ("arch/x86/mm/fault.c", "Thread overran stack, or stack corrupted", Kind.STACK, "thread overran its stack"),
            (
                "arch/x86/mm/extable.c",
                "unchecked MSR access error: RDMSR from 0x1b0 at rIP: 0xffffffff81020304 (foo+0x4/0x10)",
                Kind.TRAP,
                "unchecked MSR access",
            ),
            ("arch/x86/mm/extable.c", "PANIC: early exception 0x0e IP 10:ffff error 0", Kind.PANIC, "early exception"),
            ("include/asm-generic/bug.h", "BUG: failure at mm/x.c:12/foo()!", Kind.KERNEL_BUG, "kernel BUG in foo"),
            ("kernel/locking/lockdep.c", "WARNING: chain_key collision", Kind.LOCKDEP, "lockdep chain_key collision"),
            (
                "kernel/locking/lockdep.c",
                "BUG: key ffff8880 has not been registered!",
                Kind.LOCKDEP,
                "invalid lock key",
            ),
            ("kernel/sched/core.c", "BUG: scheduling in a non-blocking section: sh/9/1", Kind.ATOMIC_SLEEP, None),
            ("kernel/sched/core.c", "BUG: assuming atomic context at mm/x.c:12", Kind.ATOMIC_SLEEP, None),
            ("kernel/rcu/tree_stall.h", "rcu: rcu_preempt kthread starved for 5250 jiffies!", Kind.RCU_STALL, None),
            (
                "mm/kasan/report.c, cut off",
                "BUG: KASAN: use-after-free in foo+0x1/0x2",
                Kind.KASAN,
                "KASAN: use-after-free in foo",
            ),
            ("mm/kmsan/report.c", "BUG: KMSAN: uninit-value in foo+0x1/0x2", Kind.KMSAN, "KMSAN: uninit-value in foo"),
            ("CONFIG_UBSAN_TRAP", "UBSAN: array index out of bounds at foo+0x1/0x2", Kind.UBSAN, None),
            ("syzkaller's and others' kmemleak", "BUG: memory leak", Kind.MEMORY_LEAK, "memory leak"),
            ("mm/filemap.c", "BUG: Bad page cache in process sh  pfn:102e8", Kind.BAD_PAGE_STATE, "bad page cache"),
            ("kernel/fork.c", "BUG: non-zero pgtables_bytes on freeing mm: 4096", Kind.BAD_RSS_COUNTER, None),
            (
                "kernel/panic.c",
                "Kernel panic - not syncing: Fatal exception",
                Kind.PANIC,
                "kernel panic: Fatal exception",
            ),
            ("kernel/panic.c before 4.0", "WARNING: CPU: 0 PID: 9 at 0x12", Kind.WARNING, "WARNING"),
            ("any pr_warn()", "WARNING: stack recursion on stack type 2", Kind.WARNING, None),
            (
                "net/core/dev.c",
                "unregister_netdevice: waiting for lo to become free. Usage count = 5",
                Kind.OTHER,
                None,
            ),
            ("fs/open.c", "VFS: Close: file count is 0", Kind.OTHER, "VFS: wrong reference count"),
            ("mm/swapfile.c", "_swap_info_get: Bad swap file entry 3ffffff", Kind.OTHER, "bad swap entry"),
            ("kernel/irq/spurious.c", "irq 5: nobody cared (try booting with the option)", Kind.OTHER, None),
            ("mm/backing-dev.c", "INFO: The task sh:9 has been waiting for writeback", Kind.INFO, None),
        )
    ),
]


@pytest.mark.parametrize(("rule", "text", "kind", "title"), CASES, ids=[case[0] for case in CASES])
def test_one_splat_of_the_right_kind(rule: str, text: str, kind: Kind, title: str | None) -> None:
    (splat,) = dmesg.splats(text)
    assert splat.kind is kind
    assert title in (None, splat.title)


CLEAN = [
    ("first boot", "[    0.000000] Linux version 7.2.13 (x) #1 SMP\n[    0.100000] Command line: console=ttyS0"),
    ("arch/x86/kernel/cpu/bugs.c, a word amid a line", "Spectre V2 : WARNING: Unprivileged eBPF is enabled"),
    ("mm/oom_kill.c", "sh invoked oom-killer: gfp_mask=0x140cca, order=0\nOut of memory: Killed process 9 (sh)"),
    ("arch/x86/kernel/nmi.c", "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 2.277 msecs"),
    ("kernel/locking/lockdep.c", "INFO: lockdep is turned off."),
    ("kernel/hung_task.c, told on the way", "INFO: task sh:9 is blocked on a mutex likely owned by task sh:8."),
    ("a program's own information", "[    1.000000] up\nINFO: something in user space"),
    ("a program's own bug", "[    1.000000] up\nBUG: something in user space"),
    ("a program's own warning", "[    1.000000] up\nWARNING: something in user space"),
    ("a program that writes to /dev/kmsg", "12,1,1000000,-;BUG: not of the kernel"),
    ("a test that quotes a banner", "    # REF-01: BUG: a word in a diagnostic\n    ok 1 REF-01"),
    ("kernel/module/main.c", "kg_crash: loading out-of-tree module taints kernel."),
]


@pytest.mark.parametrize(("rule", "text"), CLEAN, ids=[case[0] for case in CLEAN])
def test_no_splat_in_ordinary_lines(rule: str, text: str) -> None:
    assert dmesg.splats(text) == ()


# ---------------------------------------------------------------------------------------------- what a splat tells

FROZEN = (
    "kg_crash: page_ref_inc on a frozen page\n"
    + PAGE.format(reason="VM_BUG_ON_PAGE(__page_is_frozen(page))")
    + CUT
    + "kernel BUG at include/linux/page_ref.h:157!\nOops: invalid opcode: 0000 [#1] SMP\n"
    + _registers("page_ref_inc")
    + "RIP: 0010:page_ref_inc+0x42/0x60\nRSP: 0018:ffffc900001efde8 EFLAGS: 00010246\n"
    "note: insmod[77] exited with irqs disabled\nKernel panic - not syncing: Fatal exception\n"
    "Kernel Offset: disabled\n---[ end Kernel panic - not syncing: Fatal exception ]---\n"
)


def test_one_death_is_one_splat_with_condition_location_and_trace() -> None:
    (splat,) = dmesg.splats(FROZEN)
    assert splat.kind is Kind.KERNEL_BUG
    assert splat.condition == "VM_BUG_ON_PAGE(__page_is_frozen(page))"
    assert splat.location == "include/linux/page_ref.h:157"
    assert splat.function == "page_ref_inc"
    assert splat.call_trace == ("page_ref_inc", "the_caller", "vfs_write")
    assert splat.lines[0].startswith("page: refcount:0")
    assert splat.lines[-1].startswith("---[ end Kernel panic")


def test_arm64_trace_holds_the_function_at_the_program_counter_once() -> None:
    text = next(case[1] for case in CASES if "arm64/kernel/traps.c __die() for BUG" in case[0])
    assert dmesg.splats(text)[0].call_trace == ("folio_put_refs", "the_caller")


def test_condition_of_a_warning_is_told() -> None:
    """include/asm-generic/bug.h WARN_CONDITION_STR, CONFIG_DEBUG_BUGVERBOSE_DETAILED."""
    text = CUT + "WARNING: [folio_test_lru(folio)] mm/swap.c:12 at foo+0x1/0x2, CPU#0: sh/9\n" + _registers("foo")
    (splat,) = dmesg.splats(text)
    assert splat.condition == "folio_test_lru(folio)"
    assert splat.title == "WARNING in foo: folio_test_lru(folio)"


def test_two_deaths_in_a_row_are_two() -> None:
    assert [splat.condition for splat in dmesg.splats(FROZEN * 2)] == ["VM_BUG_ON_PAGE(__page_is_frozen(page))"] * 2


def test_warning_and_later_panic_of_its_own_are_two() -> None:
    warning = CASES[0][1] + "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    assert [splat.kind for splat in dmesg.splats(warning)] == [Kind.WARNING, Kind.PANIC]


def test_panic_that_a_warning_was_asked_to_end_in_is_the_warnings() -> None:
    """kernel/panic.c check_panic_on_warn()."""
    text = CUT + "WARNING: mm/swap.c:12 at foo+0x1/0x2, CPU#0: sh/9\n" + _registers("foo")
    assert len(dmesg.splats(text + "Kernel panic - not syncing: kernel: panic_on_warn set ...\n")) == 1


def test_splat_amid_ktap_does_not_swallow_its_lines() -> None:
    lines = FROZEN.split("\n")
    ktap = [
        "    KTAP version 1",
        "    1..3",
        "    ok 1 REF-01",
        "    # REF-02: gone",
        "    not ok 2 REF-02",
        "not ok 1 poc",
    ]
    for number, line in enumerate(ktap):
        lines.insert(5 + 4 * number, line)
    (splat,) = dmesg.splats("\n".join(lines))
    assert not set(ktap) & set(splat.lines)
    assert splat.fingerprint == dmesg.splats(FROZEN)[0].fingerprint


@pytest.mark.parametrize("rule", ["kernel/panic.c __warn()", "kernel/fork.c check_mm()", "mm/slub.c __slab_bug()"])
def test_splat_ends_where_other_lines_go_on(rule: str) -> None:
    text = next(case[1] for case in CASES if case[0] == rule)
    alone = dmesg.splats(text)[0].lines
    other = "".join(f"virtio_blk virtio{n}: something else\n" for n in range(40))
    (splat,) = dmesg.splats(text + other + _trace("unrelated"))
    assert splat.lines == alone


def test_silence_ends_a_splat() -> None:
    text = "[    1.000000] BUG: Bad rss-counter state mm:1 type:MM_FILEPAGES val:1\n[   60.000000] Call Trace:\n"
    assert len(dmesg.splats(text)[0].lines) == 1


def test_callers_keep_two_interleaved_splats_apart() -> None:
    """CONFIG_PRINTK_CALLER: the reports of two tasks, line by line in turn."""
    one = (CUT + "WARNING: mm/a.c:1 at one+0x1/0x2, CPU#0: a/1\n" + _registers("one")).splitlines()
    two = (CUT + "WARNING: mm/b.c:2 at two+0x1/0x2, CPU#1: b/2\n" + _registers("two")).splitlines()
    pairs = zip(one, two, strict=True)
    text = "".join(f"[    1.000000][    T1] {a}\n[    1.000000][    T2] {b}\n" for a, b in pairs)
    assert [splat.lines for splat in dmesg.splats(text)] == [tuple(one), tuple(two)]


# ---------------------------------------------------------------------------------------------- the fingerprint


def _elsewhere(text: str, seed: int) -> str:
    """TEXT as another run prints it: other addresses, CPU, task, offsets, lines and times."""
    dice = random.Random(seed)
    text = re.sub(r"\bffff[0-9a-f]{12}\b", lambda _: f"ffff{dice.getrandbits(48):012x}", text)
    text = re.sub(
        r"\+0x[0-9a-f]+/0x[0-9a-f]+", lambda _: f"+0x{dice.randrange(1, 99):x}/0x{dice.randrange(99, 999):x}", text
    )
    text = re.sub(r"CPU: \d+", f"CPU: {dice.randrange(16)}", re.sub(r"CPU#\d+", f"CPU#{dice.randrange(16)}", text))
    text = re.sub(r"\b(insmod|sh)([/:])(9|77)\b", rf"task-{seed}\g<2>{dice.randrange(999)}", text)
    text = re.sub(r"pid: \d+|PID: \d+", lambda m: f"{m[0][:4]} {dice.randrange(999)}", text)
    text = re.sub(r"Comm: \w+", f"Comm: task-{seed}", text)
    text = re.sub(r"((?:mm|lib|include|kernel)/[\w/.-]+):\d+", lambda m: f"{m[1]}:{dice.randrange(1, 9999)}", text)
    start = dice.randrange(1, 500)
    return "".join(f"[{start + n / 1000:12.6f}] {line}\n" for n, line in enumerate(text.splitlines()))


STEADY = [case for case in CASES if case[2] is not Kind.REBOOT]


@pytest.mark.parametrize("case", STEADY, ids=[case[0] for case in STEADY])
def test_fingerprint_is_the_same_on_another_run(case: tuple[str, str, Kind, str]) -> None:
    here = dmesg.splats(case[1])
    for seed in range(5):
        there = dmesg.splats(_elsewhere(case[1], seed))
        assert [splat.fingerprint for splat in there] == [splat.fingerprint for splat in here]


def test_fingerprint_does_not_tell_where_the_tree_lies() -> None:
    """An out-of-tree module prints the absolute path of a header of the tree."""
    elsewhere = FROZEN.replace("BUG at include/", "BUG at /home/someone/kernel/linux-7.2/include/")
    assert elsewhere != FROZEN
    assert dmesg.splats(elsewhere)[0].fingerprint == dmesg.splats(FROZEN)[0].fingerprint


def test_fingerprint_tells_complaints_apart() -> None:
    titles: dict[str, set[str]] = {}
    for _, text, _, _ in CASES:
        (splat,) = dmesg.splats(text)
        titles.setdefault(splat.fingerprint, set()).add(splat.title)
    assert all(len(named) == 1 for named in titles.values()), titles


def test_fingerprint_tells_conditions_and_callers_apart() -> None:
    other_condition = FROZEN.replace("__page_is_frozen(page)", "__page_count_is_frozen(ret - 1)")
    other_caller = FROZEN.replace("the_caller", "another_caller")
    assert len({dmesg.splats(text)[0].fingerprint for text in (FROZEN, other_condition, other_caller)}) == 3


# ---------------------------------------------------------------------------------------------- golden logs

GOLDEN = Path(__file__).parent / "golden"

# ARCH-BASE-FAULT.log, captured from guests of the gate in which the trigger of that name was pulled (kmod/kg_crash.c):
# kind and title of each splat, in order
STALL = (Kind.RCU_STALL, "RCU stall in kg_trigger_hard_lockup")
EXPECTED: dict[str, list[tuple[Kind, str]]] = {
    "arm64-7.2-boot.log": [],
    "arm64-7.2-bad_page_state.log": [(Kind.BAD_PAGE_STATE, "bad page state in __free_frozen_pages")],
    "arm64-7.2-hung_task.log": 2 * [(Kind.HUNG_TASK, "task hung in kg_trigger_hung_task")],
    "arm64-7.2-list_corruption.log": [(Kind.LIST_CORRUPTION, "list corruption in kg_trigger_list_corruption")],
    "arm64-7.2-null_dereference.log": [
        (Kind.OOPS, "unable to handle kernel NULL pointer dereference in kg_trigger_null_dereference"),
    ],
    "arm64-7.2-rcu_stall.log": 2 * [(Kind.RCU_STALL, "RCU stall in kg_trigger_rcu_stall")],
    "arm64-7.2-refcount.log": [
        (Kind.REFCOUNT, "refcount_t: addition on 0; use-after-free in kg_trigger_refcount"),
    ],
    "arm64-7.2-sleep_in_atomic.log": [
        (Kind.ATOMIC_SLEEP, "sleeping function called from invalid context in kg_trigger_sleep_in_atomic"),
        (Kind.ATOMIC_SLEEP, "scheduling while atomic in kg_trigger_sleep_in_atomic"),
    ],
    "arm64-7.2-soft_lockup.log": [(Kind.SOFT_LOCKUP, "soft lockup in kg_trigger_soft_lockup")],
    "arm64-7.2-vm_bug.log": [(Kind.KERNEL_BUG, "kernel BUG in kg_trigger_vm_bug")],
    "arm64-7.2-vm_bug_on_folio_frozen.log": [
        (
            Kind.KERNEL_BUG,
            "kernel BUG in kg_trigger_folio_ref_sub_return: VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr))",
        ),
        (Kind.WARNING, "WARNING in __switch_to"),
        (Kind.WARNING, "WARNING in ct_kernel_exit"),
    ],
    "arm64-7.2-vm_bug_on_page_frozen.log": [
        (Kind.KERNEL_BUG, "kernel BUG in kg_trigger_page_ref_inc: VM_BUG_ON_PAGE(__page_is_frozen(page))"),
    ],
    "arm64-7.2-warning.log": [(Kind.WARNING, "WARNING in kg_trigger_warning")],
    "x86_64-7.2-boot.log": [],
    "x86_64-7.2-bad_page_state.log": [(Kind.BAD_PAGE_STATE, "bad page state in __free_frozen_pages")],
    "x86_64-7.2-hard_lockup.log": [STALL, STALL, (Kind.HARD_LOCKUP, "hard lockup in kg_trigger_hard_lockup")],
    "x86_64-7.2-hung_task.log": 4 * [(Kind.HUNG_TASK, "task hung in kg_write")],
    "x86_64-7.2-list_corruption.log": [(Kind.LIST_CORRUPTION, "list corruption in kg_trigger_list_corruption")],
    "x86_64-7.2-null_dereference.log": [
        (Kind.OOPS, "kernel NULL pointer dereference in kg_trigger_null_dereference"),
    ],
    "x86_64-7.2-panic.log": [(Kind.PANIC, "kernel panic: kg_crash: panic as asked for")],
    "x86_64-7.2-rcu_stall.log": [(Kind.RCU_STALL, "RCU stall in kg_trigger_rcu_stall")],
    "x86_64-7.2-refcount.log": [
        (Kind.REFCOUNT, "refcount_t: addition on 0; use-after-free in kg_trigger_refcount"),
    ],
    "x86_64-7.2-sleep_in_atomic.log": [
        (Kind.ATOMIC_SLEEP, "sleeping function called from invalid context in kg_trigger_sleep_in_atomic"),
        (Kind.ATOMIC_SLEEP, "scheduling while atomic in kg_trigger_sleep_in_atomic"),
    ],
    "x86_64-7.2-soft_lockup.log": [(Kind.SOFT_LOCKUP, "soft lockup in kg_trigger_soft_lockup")],
    "x86_64-7.2-vm_bug.log": [(Kind.KERNEL_BUG, "kernel BUG in kg_trigger_vm_bug")],
    "x86_64-7.2-vm_bug_on_folio_frozen.log": [
        (
            Kind.KERNEL_BUG,
            "kernel BUG in kg_trigger_folio_ref_sub_return: VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr))",
        ),
    ],
    "x86_64-7.2-vm_bug_on_page_frozen.log": [
        (Kind.KERNEL_BUG, "kernel BUG in kg_trigger_page_ref_inc: VM_BUG_ON_PAGE(__page_is_frozen(page))"),
    ],
    "x86_64-7.2-warning.log": [(Kind.WARNING, "WARNING in kg_trigger_warning")],
}


def test_every_golden_log_has_an_expectation() -> None:
    assert {path.name for path in GOLDEN.glob("*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_golden_log(name: str) -> None:
    found = dmesg.splats((GOLDEN / name).read_text())
    assert [(splat.kind, splat.title) for splat in found] == EXPECTED[name]
    assert not [line for splat in found for line in splat.lines if "trigger" in line and line.startswith("kg_crash:")]


def test_warnings_that_a_death_on_arm64_brings_along_are_its_aftermath() -> None:
    """The first death in an exception: the task leaves with masked interrupts, the CPU never leaves the exception."""
    text = (GOLDEN / "arm64-7.2-vm_bug_on_folio_frozen.log").read_text()
    assert [splat.aftermath for splat in dmesg.splats(text)] == [False, True, True]
    alone = text[text.index("------------[ cut here ]------------", text.index("---[ end trace")) :]
    assert [splat.aftermath for splat in dmesg.splats(alone)] == [False, False]


def test_other_warnings_after_a_death_are_no_aftermath() -> None:
    assert [splat.aftermath for splat in dmesg.splats(FROZEN + CASES[0][1])] == [False, False]


@pytest.mark.parametrize("fault", ["bad_page_state", "vm_bug_on_page_frozen", "refcount", "warning", "sleep_in_atomic"])
def test_both_architectures_tell_one_complaint(fault: str) -> None:
    """The title is the same, and so is the fingerprint unless the compiler has inlined differently."""
    here, there = ((GOLDEN / f"{arch}-7.2-{fault}.log").read_text() for arch in ("x86_64", "arm64"))
    assert [splat.title for splat in dmesg.splats(here)] == [splat.title for splat in dmesg.splats(there)]
