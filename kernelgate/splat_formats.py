# SPDX-License-Identifier: GPL-2.0-only
"""The words with which a kernel complains: one table, read off the kernel's own printk formats.

Each row names the file of Linux 7.2 that prints it; wordings of older kernels stand beside
it, since 6.1 and 6.12 are bases too. The idea of such a table is syzkaller's (pkg/report).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The class of a complaint; the value is what a person reads."""

    WARNING = "WARNING"
    KERNEL_BUG = "kernel BUG"
    OOPS = "oops"
    GENERAL_PROTECTION = "general protection fault"
    TRAP = "trap"
    STACK = "stack overflow or corruption"
    PANIC = "kernel panic"
    BUG = "BUG"
    BAD_PAGE_STATE = "bad page state"
    BAD_PAGE_MAP = "bad page map"
    BAD_RSS_COUNTER = "bad rss-counter"
    PAGE_DUMP = "page dump"
    SLAB = "slab corruption"
    LIST_CORRUPTION = "list corruption"
    REFCOUNT = "refcount_t"
    DEBUG_OBJECTS = "debugobjects"
    USERCOPY = "usercopy"
    KASAN = "KASAN"
    KCSAN = "KCSAN"
    KFENCE = "KFENCE"
    KMSAN = "KMSAN"
    UBSAN = "UBSAN"
    MEMORY_LEAK = "memory leak"
    LOCKDEP = "lockdep"
    RCU_USAGE = "RCU usage"
    RCU_STALL = "RCU stall"
    SOFT_LOCKUP = "soft lockup"
    HARD_LOCKUP = "hard lockup"
    HUNG_TASK = "hung task"
    WORKQUEUE = "workqueue"
    SPINLOCK = "spinlock"
    ATOMIC_SLEEP = "sleep in atomic context"
    PREEMPTIBLE = "per-CPU access in preemptible code"
    REBOOT = "unexpected reboot"
    INFO = "INFO"
    OTHER = "complaint"
    UNKNOWN = "unrecognised report"


class Blame(Enum):
    """Where the guilty function of a report is written."""

    BANNER = "in the banner itself, in the group `function`"
    REGISTERS = "at the instruction pointer"
    TRACE = "in the call trace"
    LOCK = "in the line of the lock that was being taken"


@dataclass(frozen=True)
class Format:
    """One wording.

    `pattern` matches at the start of a log line. Its groups may be `what` (added to `title`),
    `function`, `location` (file:line) and `condition`. A line carries on a report whose kind is in
    `joins` while that has printed neither registers nor trace yet, and one in `late` at any time;
    otherwise it begins a report. Of several wordings in one report the highest `rank` names it.
    """

    kind: Kind
    pattern: re.Pattern[str]
    title: str
    blame: Blame = Blame.TRACE
    joins: frozenset[Kind] = frozenset()
    late: frozenset[Kind] = frozenset()
    rank: int = 4
    loose: bool = False
    """Programs write lines like this too: where the kernel's lines carry a time, one without it is theirs."""


# %pS and %pB: symbol+0xoffset/0xsize [module build-id]
SYMBOL = (
    r"(?:\[<[0-9a-f]*>\] )?(?P<function>[A-Za-z_][\w.$]*)"
    r"(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?(?: \[\w+(?: [0-9a-f]+)?\])?"
)
LOCATION = r"(?P<location>[^\s:]+:\d+)"
TASK = r".*[/:]\d+"

# What may stand before `WARNING:`, `kernel BUG at` and a die header as a part of the same report.
LEADS = frozenset({Kind.UNKNOWN, Kind.PAGE_DUMP})
CHECKS = LEADS | {Kind.LIST_CORRUPTION, Kind.REFCOUNT, Kind.DEBUG_OBJECTS, Kind.USERCOPY}
MORTAL = CHECKS | {Kind.KERNEL_BUG, Kind.OOPS, Kind.STACK, Kind.TRAP, Kind.BUG, Kind.UBSAN}
PAGE_DUMPERS = LEADS | {Kind.BAD_PAGE_STATE, Kind.BAD_PAGE_MAP}
OBJECT_DUMPERS = frozenset({Kind.KASAN, Kind.KMSAN})
ASSERTIONS = frozenset({Kind.UNKNOWN, Kind.WARNING, Kind.KERNEL_BUG})


def _row(
    kind: Kind,
    pattern: str,
    title: str = "",
    blame: Blame = Blame.TRACE,
    *,
    joins: frozenset[Kind] = frozenset(),
    late: frozenset[Kind] = frozenset(),
    rank: int = 4,
    loose: bool = False,
) -> Format:
    return Format(kind, re.compile(pattern), title or kind.value, blame, joins, late, rank, loose)


def _prefixes(*words: str) -> re.Pattern[str]:
    """A pattern for names that begin with one of WORDS."""
    return re.compile("(?:" + "|".join(re.escape(word) for line in words for word in line.split()) + ")")


def _starts(*patterns: str) -> re.Pattern[str]:
    """A pattern for lines that are empty, indented or begin with one of PATTERNS."""
    return re.compile(r"$|\s|" + "|".join(patterns))


_FAULTS = (
    # arch/x86/mm/fault.c show_fault_oops(); before 5.1 and 5.2 the second wording of each
    _row(
        Kind.OOPS,
        r"BUG: (?:kernel NULL pointer dereference|unable to handle kernel NULL pointer dereference)",
        "kernel NULL pointer dereference",
        Blame.REGISTERS,
    ),
    _row(
        Kind.OOPS,
        r"BUG: unable to handle (?:page fault|kernel paging request)",
        "unable to handle kernel paging request",
        Blame.REGISTERS,
    ),
    # arch/arm64/mm/fault.c die_kernel_fault()
    _row(
        Kind.OOPS,
        r"Unable to handle kernel (?P<what>.*?) at virtual address",
        "unable to handle kernel {what}",
        Blame.REGISTERS,
    ),
    # arch/arm64/kernel/traps.c arm64_serror_panic(), bad_el0_sync(); entry-common.c __panic_unhandled()
    _row(
        Kind.OOPS,
        r"(?:SError Interrupt on CPU|Bad mode in |Unhandled .* exception on CPU)",
        "unhandled exception",
        Blame.REGISTERS,
    ),
    # arch/arm/mm/fault.c, alignment.c
    _row(Kind.TRAP, r"Alignment trap: ", "alignment trap", Blame.REGISTERS),
    _row(
        Kind.OOPS,
        r"Unhandled (?:prefetch )?(?:fault|abort): (?P<what>.*?) \(",
        "unhandled {what}",
        Blame.REGISTERS,
        joins=frozenset({Kind.TRAP}),
        rank=3,
    ),
    # arch/x86/kernel/traps.c handle_stack_overflow(), exc_double_fault(); arch/arm64/kernel/traps.c panic_bad_stack()
    _row(Kind.STACK, r"BUG: .*stack guard page was hit", "stack guard page was hit", Blame.REGISTERS),
    _row(Kind.STACK, r"Insufficient stack space to handle exception!", "kernel stack overflow", Blame.REGISTERS),
    _row(Kind.STACK, r"(?:traps: )?PANIC: double fault", "double fault", Blame.REGISTERS),
    _row(Kind.STACK, r"Thread overran stack, or stack corrupted", "thread overran its stack", joins=MORTAL),
    # arch/x86/kernel/dumpstack.c __die_header(); before 6.9 without the leading "Oops: "
    _row(
        Kind.GENERAL_PROTECTION,
        r"(?:Oops: )?general protection fault\b",
        "general protection fault",
        Blame.REGISTERS,
    ),
    _row(
        Kind.KERNEL_BUG,
        r"(?:Oops: )?invalid opcode: [0-9a-f]{4} \[#\d+\]",
        "kernel BUG",
        Blame.REGISTERS,
        joins=MORTAL,
        rank=2,
    ),
    _row(Kind.OOPS, r"(?:Oops: )?Oops: [0-9a-f]{4,} \[#\d+\]", "oops", Blame.REGISTERS, joins=MORTAL, rank=2),
    _row(
        Kind.TRAP,
        r"(?:Oops: )?(?P<what>[a-zA-Z][\w ,()#-]*): [0-9a-f]{4} \[#\d+\]",
        "{what}",
        Blame.REGISTERS,
        joins=MORTAL,
        rank=2,
    ),
    # arch/arm64/kernel/traps.c bug_brk_handler(), __die()
    _row(
        Kind.KERNEL_BUG,
        r"Internal error: Oops - BUG: [0-9a-f]+ \[#\d+\]",
        "kernel BUG",
        Blame.REGISTERS,
        joins=MORTAL,
        rank=2,
    ),
    _row(
        Kind.OOPS,
        r"Internal error: (?P<what>.*?): [0-9a-f]+ \[#\d+\]",
        "internal error: {what}",
        Blame.REGISTERS,
        joins=MORTAL,
        rank=2,
    ),
    # arch/x86/mm/fault.c pgtable_bad(), mm/extable.c ex_handler_msr()
    _row(Kind.OOPS, r".*: Corrupted page table at address", "corrupted page table", Blame.REGISTERS),
    _row(Kind.TRAP, r"unchecked MSR access error:", "unchecked MSR access"),
)

_CHECKS = (
    # include/asm-generic/bug.h CUT_HERE
    _row(Kind.UNKNOWN, r".*-{6,}\[ cut here \]-{6,}", "", Blame.REGISTERS, joins=CHECKS, rank=0),
    # mm/debug.c __dump_page(), dump_page()
    _row(
        Kind.PAGE_DUMP,
        r"page: ?(?:refcount|[0-9a-fA-Fx]+ (?:ref)?count):",
        joins=PAGE_DUMPERS,
        late=OBJECT_DUMPERS,
        rank=1,
    ),
    _row(
        Kind.PAGE_DUMP,
        r"page dumped because: (?P<condition>.*)",
        joins=PAGE_DUMPERS,
        late=OBJECT_DUMPERS,
        rank=1,
    ),
    # lib/list_debug.c
    _row(
        Kind.LIST_CORRUPTION,
        r"(?:list_add|list_del) (?:corruption|double add)",
        "list corruption",
        joins=ASSERTIONS,
    ),
    # lib/refcount.c; until 5.3 arch/x86 printed the second wording
    _row(Kind.REFCOUNT, r"refcount_t(?:: (?P<what>[^.]*)| .*)", "refcount_t: {what}", joins=ASSERTIONS),
    # lib/debugobjects.c debug_print_object()
    _row(Kind.DEBUG_OBJECTS, r"ODEBUG: (?P<what>.*?) \(active state", "ODEBUG: {what}", joins=ASSERTIONS),
    _row(
        Kind.DEBUG_OBJECTS, r"ODEBUG: (?P<what>.*?) object type: (?P<type>.*?) hint", "ODEBUG: {what}", joins=ASSERTIONS
    ),
    # mm/usercopy.c usercopy_warn() (until 6.1), usercopy_abort()
    _row(
        Kind.USERCOPY,
        r"(?:usercopy: )?(?:Bad or missing usercopy whitelist\?|[Kk]ernel memory (?:exposure|overwrite) attempt)",
        "bad usercopy",
        joins=ASSERTIONS,
    ),
    # lib/bug.c __report_bug()
    _row(
        Kind.KERNEL_BUG,
        rf"kernel BUG at (?:\[(?P<condition>.*)\] )?(?:{LOCATION}!|{SYMBOL} )",
        "kernel BUG",
        Blame.REGISTERS,
        joins=CHECKS,
        rank=3,
    ),
    # include/asm-generic/bug.h BUG() without CONFIG_GENERIC_BUG
    _row(
        Kind.KERNEL_BUG,
        rf"BUG: failure at {LOCATION}/(?P<function>\w+)\(\)!",
        "kernel BUG",
        Blame.BANNER,
        joins=CHECKS,
        rank=3,
    ),
)

_LOCKS = (
    # kernel/locking/lockdep.c; 4.12 and older put the banner into brackets, "[ INFO: … ]"
    *(
        _row(Kind.LOCKDEP, rf"(?:\[ )?(?:INFO|WARNING|BUG): {words}", title, Blame.LOCK)
        for words, title in (
            (r"possible circular locking dependency detected", "possible circular locking dependency"),
            (r"possible recursive locking detected", "possible recursive locking"),
            (r"possible irq lock inversion dependency detected", "possible irq lock inversion"),
            (r"\S+-safe -> \S+-unsafe lock order detected", "irq-unsafe lock order"),
            (r"inconsistent lock state", "inconsistent lock state"),
            (r"[Nn]ested lock was not taken", "nested lock was not taken"),
            (r"bad unlock balance detected", "bad unlock balance"),
            (r"bad contention detected", "bad contention"),
            (r"held lock freed", "held lock freed"),
            (rf"{TASK} still has locks held", "still has locks held"),
            (r"locks? held (?:when returning to user space|at task exit)", "lock held when returning to user space"),
            (r"Invalid wait context", "invalid wait context"),
        )
    ),
    _row(Kind.LOCKDEP, r"WARNING: chain_key collision", "lockdep chain_key collision"),
    _row(Kind.LOCKDEP, r"BUG: (?P<what>MAX_LOCK\w+|MAX_STACK_TRACE_ENTRIES) too low", "lockdep: {what} too low"),
    _row(Kind.LOCKDEP, r"BUG: (?:key .* has not been registered|looking up invalid subclass)", "invalid lock key"),
    _row(Kind.LOCKDEP, r"INFO: trying to register non-static key", "trying to register non-static key"),
    # kernel/locking/lockdep.c lockdep_rcu_suspicious()
    _row(Kind.RCU_USAGE, r"(?:\[ )?(?:INFO|WARNING): suspicious RCU usage", "suspicious RCU usage"),
    # kernel/locking/spinlock_debug.c; the second until 4.12
    _row(Kind.SPINLOCK, r"BUG: (?P<what>(?:spin|rw)lock [\w ]+?) on CPU#", "{what}"),
    # kernel/sched/core.c
    _row(Kind.ATOMIC_SLEEP, r"BUG: scheduling while atomic", "scheduling while atomic"),
    _row(Kind.ATOMIC_SLEEP, r"BUG: scheduling in a non-blocking section", "scheduling in a non-blocking section"),
    _row(
        Kind.ATOMIC_SLEEP,
        rf"BUG: sleeping function called from invalid context at {LOCATION}",
        "sleeping function called from invalid context",
    ),
    _row(Kind.ATOMIC_SLEEP, rf"BUG: assuming (?P<what>[\w ]+) context at {LOCATION}", "not in {what} context"),
    # lib/smp_processor_id.c
    _row(Kind.PREEMPTIBLE, r"BUG: using (?P<what>\w+)(?:\(\))? in preemptible", "using {what}() in preemptible code"),
)

_STALLS = (
    # kernel/rcu/tree_stall.h, tree_exp.h, tasks.h
    _row(
        Kind.RCU_STALL,
        r"(?:rcu: )?INFO: rcu\w* (?:self-detected stall|detected (?:expedited )?stalls?\b)",
        "RCU stall",
        Blame.REGISTERS,
    ),
    _row(
        Kind.RCU_STALL,
        r"(?:rcu: )?rcu\w* kthread (?:starved|timer wakeup)",
        "RCU grace-period kthread starved",
        late=frozenset({Kind.RCU_STALL}),
    ),
    # kernel/watchdog.c
    _row(Kind.SOFT_LOCKUP, r"(?:(?:NMI )?watchdog: )?BUG: soft lockup", "soft lockup", Blame.REGISTERS),
    _row(
        Kind.HARD_LOCKUP,
        r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP",
        "hard lockup",
        Blame.REGISTERS,
    ),
    # kernel/hung_task.c check_hung_task()
    _row(Kind.HUNG_TASK, r"INFO: task (?!.*blocked on an? )", "task hung"),
    # kernel/workqueue.c
    _row(Kind.WORKQUEUE, r"(?:workqueue: )?BUG: workqueue lockup", "workqueue lockup"),
    _row(Kind.WORKQUEUE, r"(?:workqueue: )?BUG: workqueue leaked", "workqueue leaked a lock or atomic context"),
)

_SANITIZERS = (
    # mm/kasan/report.c print_error_description(), kasan_report_async()
    _row(Kind.KASAN, rf"BUG: KASAN: (?P<what>[\w-]+)(?: \(?)?(?:in|on) {SYMBOL}", "KASAN: {what}", Blame.BANNER),
    _row(Kind.KASAN, r"BUG: KASAN: (?P<what>[\w-]+)", "KASAN: {what}"),
    # mm/kfence/report.c
    _row(Kind.KFENCE, rf"BUG: KFENCE: (?P<what>[\w -]+?) in {SYMBOL}", "KFENCE: {what}", Blame.BANNER),
    # mm/kmsan/report.c
    _row(Kind.KMSAN, rf"BUG: KMSAN: (?P<what>[\w-]+) in {SYMBOL}", "KMSAN: {what}", Blame.BANNER),
    # kernel/kcsan/report.c print_report()
    _row(Kind.KCSAN, rf"BUG: KCSAN: (?P<what>[\w :-]+?) in {SYMBOL}", "KCSAN: {what}", Blame.BANNER),
    # lib/ubsan.c ubsan_prologue(); arch/x86/kernel/traps.c handle_bug() with CONFIG_UBSAN_TRAP
    _row(Kind.UBSAN, rf"UBSAN: (?P<what>[\w' -]+?) in {LOCATION}", "UBSAN: {what}", joins=LEADS),
    _row(Kind.UBSAN, rf"UBSAN: (?P<what>[\w' /-]+?) at {SYMBOL}", "UBSAN: {what}", Blame.BANNER, joins=LEADS),
    # mm/kmemleak.c
    _row(Kind.MEMORY_LEAK, r"(?:kmemleak: )?unreferenced object", "memory leak", joins=frozenset({Kind.MEMORY_LEAK})),
    _row(Kind.MEMORY_LEAK, r"BUG: memory leak", "memory leak"),
    _row(Kind.MEMORY_LEAK, r"kmemleak: \d+ new suspected memory leaks", "memory leak"),
    # mm/slub.c __slab_bug(); with "kasan: bad access detected" it is a part of an old KASAN report
    _row(
        Kind.SLAB,
        r"BUG (?P<cache>.+?) \((?:Not tainted|Tainted: [^)]*)\): "
        r"(?!kasan: bad access detected)(?P<what>.*?)\.?(?: 0x.*)?$",
        "slab: {what}",
    ),
    # mm/slab.c, gone in 6.8
    _row(Kind.SLAB, r"(?:slab error in \w+\(\): (?P<what>.*)|Slab corruption)", "slab: {what}"),
)

_MEMORY = (
    # mm/page_alloc.c bad_page(), mm/filemap.c filemap_unaccount_folio()
    _row(Kind.BAD_PAGE_STATE, r"BUG: Bad page state in process", "bad page state", joins=LEADS),
    _row(Kind.BAD_PAGE_STATE, r"BUG: Bad page cache in process", "bad page cache", joins=LEADS),
    # mm/memory.c print_bad_page_map(), mm/pgtable-generic.c pmd_clear_bad()
    _row(Kind.BAD_PAGE_MAP, r"BUG: Bad page map in process", "bad page map", joins=LEADS),
    _row(Kind.BAD_PAGE_MAP, rf"{LOCATION}: bad (?P<what>p[gu4m]d|pte) ", "bad {what}"),
    # kernel/fork.c check_mm()
    _row(Kind.BAD_RSS_COUNTER, r"BUG: Bad rss-counter state", "bad rss-counter state"),
    _row(Kind.BAD_RSS_COUNTER, r"BUG: non-zero pgtables_bytes on freeing mm", "non-zero pgtables_bytes"),
)

_PANIC = (
    # kernel/panic.c __stack_chk_fail(), kernel/sched/core.c schedule_debug(), arch/arm64/kernel/traps.c
    _row(
        Kind.STACK,
        rf"Kernel panic - not syncing: (?:stack-protector: )?Kernel stack is corrupted in: {SYMBOL}",
        "kernel stack is corrupted",
        Blame.BANNER,
    ),
    _row(Kind.STACK, r"Kernel panic - not syncing: corrupted stack end", "corrupted stack end"),
    _row(
        Kind.STACK,
        r"Kernel panic - not syncing: kernel stack overflow",
        "kernel stack overflow",
        late=frozenset({Kind.STACK}),
    ),
    # the panic that a report ends in, where it was asked for: kernel/panic.c check_panic_on_warn(), kernel/exit.c,
    # kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, arch/*/kernel (oops_end(), die())
    _row(
        Kind.PANIC,
        r"Kernel panic - not syncing: (?P<what>(?:\w+: )?panic_on_\w+ set|(?:.*: )?Fatal exception"
        r"|softlockup: hung tasks|hung_task: blocked tasks|Hard LOCKUP|RCU Stall"
        r"|Aiee, killing|Attempted to kill|Asynchronous SError|Machine halted)",
        "kernel panic: {what}",
        late=frozenset(Kind),
        rank=2,
    ),
    # kernel/panic.c vpanic()
    _row(Kind.PANIC, r"Kernel panic - not syncing: (?P<what>.*)", "kernel panic: {what}", joins=MORTAL, rank=2),
    # arch/x86/mm/extable.c early_fixup_exception()
    _row(Kind.PANIC, r"PANIC: early exception", "early exception"),
)

_REST = (
    # kernel/panic.c __warn(); until 6.18 "CPU: n PID: n at"; until 3.10 "at file:line func()"
    _row(
        Kind.WARNING,
        rf"WARNING: (?:\[(?P<condition>.*)\] )?{LOCATION} at (?:0x0|{SYMBOL}), CPU#",
        "WARNING",
        Blame.BANNER,
        joins=CHECKS,
        rank=3,
    ),
    _row(Kind.WARNING, rf"WARNING: at (?:0x0|{SYMBOL}), CPU#", "WARNING", Blame.BANNER, joins=CHECKS, rank=3),
    _row(
        Kind.WARNING,
        rf"WARNING: (?:CPU: \d+ PID: -?\d+ )?at (?:\[(?P<condition>.*)\] )?{LOCATION} {SYMBOL}",
        "WARNING",
        Blame.BANNER,
        joins=CHECKS,
        rank=3,
    ),
    _row(Kind.WARNING, r"WARNING: CPU: \d+ PID: -?\d+ at ", "WARNING", joins=CHECKS, rank=3),
    # other lines that begin with the word; a path after it is a program's warning, not the kernel's
    _row(Kind.WARNING, r"WARNING: (?!/)(?P<what>\S.*)", "WARNING: {what}", rank=3, loose=True),
    # init/version-timestamp.c linux_banner, a second time
    _row(Kind.REBOOT, r"Linux version \d", "unexpected reboot"),
    _row(
        Kind.OTHER, r"unregister_netdevice: waiting for \S+ to become free", "unregister_netdevice: device stays busy"
    ),
    _row(Kind.OTHER, r"VFS: (?:Close: file count is|Busy inodes after unmount)", "VFS: wrong reference count"),
    _row(Kind.OTHER, r"(?:\w+: )?Bad swap (?:file|offset) entry", "bad swap entry"),
    # kernel/irq/spurious.c __report_bad_irq()
    _row(Kind.OTHER, r"irq \d+: nobody cared", "irq: nobody cared"),
    _row(Kind.BUG, r"BUG: (?P<what>.*)", "BUG: {what}", rank=3, loose=True),
    # what lockdep, the watchdogs and the NMI code only tell on the way is no complaint
    _row(
        Kind.INFO,
        r"(?:\[ )?INFO:(?! lockdep is turned off| NMI handler| Stall ended| Expedited stall ended| task | recovery )"
        r"\s*(?P<what>.*)",
        "INFO: {what}",
        loose=True,
    ),
)

FORMATS = (*_FAULTS, *_CHECKS, *_LOCKS, *_STALLS, *_SANITIZERS, *_MEMORY, *_PANIC, *_REST)
"""All wordings; the first that matches a line is meant."""

KINDS_BY_FILE = (
    ("lib/refcount.c", Kind.REFCOUNT),
    ("lib/debugobjects.c", Kind.DEBUG_OBJECTS),
    ("lib/list_debug.c", Kind.LIST_CORRUPTION),
    ("mm/usercopy.c", Kind.USERCOPY),
    ("kernel/locking/lockdep.c", Kind.LOCKDEP),
)
"""A WARNING or kernel BUG from one of these files is that checker's complaint."""

MACHINERY = _prefixes(
    # printing, panicking, trapping, unwinding
    "dump_ show_ __show_regs __dump print_ __print_ panic check_panic_on_warn warn_ __warn report_bug",
    "__report_bug fixup_bug",
    "walk_stackframe nmi_ trigger_ arch_trigger sched_show_task oops_ die __die no_context bad_area __bad_area",
    "do_trap",
    "do_error_trap do_invalid_op invalid_op exc_ asm_exc_ handle_bug bug_handler call_break_hook brk_handler",
    "do_debug_exception",
    "el1_ el1h_ do_mem_abort do_tag_check_fault do_kern_addr_fault do_page_fault page_fault __do_page_fault",
    "__do_kernel_fault",
    "do_user_addr_fault stack_trace_ arch_stack_walk unwind_ perf_trace_ __x86_indirect_thunk",
    # sanitizers, lockdep, RCU, debugging options
    "kasan_ __kasan __asan_ __hwasan check_memory_region kcsan_ __kcsan __tsan kfence_ kmsan_ __msan ubsan_",
    "__ubsan __sanitizer",
    "usercopy_ __check_object_size __check_heap_object check_object fortify_panic debug_ __debug_ refcount_",
    "__refcount kref_",
    "__list_add_valid __list_del_entry list_add list_del lockdep_ __lockdep lock_acquire lock_release __lock_",
    "check_flags",
    "register_lock_class assign_lock_key look_up_lock_class mark_lock check_usage check_noncircular",
    "validate_chain trace_hardirqs",
    "__schedule_bug might_sleep __might_sleep __might_resched __might_fault ___might_sleep __cant_sleep",
    "check_preemption_disabled",
    "__this_cpu_preempt_check __stack_chk_fail rcu_dump rcu_check rcu_sched_clock rcu_pending check_cpu_stall",
    # what their callers are to blame for
    "memcpy memset memmove memcmp __memcpy __memset __memmove strn strlen strcmp strcpy strlcpy strscpy",
    "_copy_to _copy_from",
    "_raw_spin_ _raw_read_ _raw_write_ __raw_ do_raw_ queued_ skb_panic skb_over_panic skb_under_panic",
)
"""The report's own machinery: never the guilty function."""

ORDINARY = _prefixes(
    "kmalloc __kmalloc kmem_cache_ __kmem_cache kvmalloc __kvmalloc kzalloc krealloc kfree kvfree slab_ ___slab",
    "__slab object_err",
    "free_debug_processing check_slab alloc_pages __alloc_pages alloc_frozen __alloc_frozen memdup_user vmalloc",
    "__vmalloc",
    "bad_page free_pages_check free_page_is_bad free_unref_page_prepare __free_pages_prepare free_pages_prepare",
    "__schedule schedule msleep usleep_ mutex_lock __mutex down_ rwsem_ wait_for_ __wait_for",
)
"""Allocating and sleeping: innocent where a call trace is all that tells where a report comes from."""

WAITING = _prefixes(
    "schedule __schedule io_schedule preempt_ context_switch __switch_to cond_resched _cond_resched",
    "mutex_lock __mutex ww_mutex down_ down __down rwsem_ __rwsem call_rwsem percpu_down rt_mutex __rt_mutex",
    "ldsem_",
    "wait_ __wait do_wait bit_wait __bit out_of_line folio_wait native_ kvm_wait pv_ __pv_ smp_call_function",
    "on_each_cpu csd_",
    "generic_exec ktime_get arch_counter __delay __const_udelay",
    "apic_ smp_apic sysvec_ asm_sysvec irq_ irqentry_ __irq do_softirq __do_softirq",
    "handle_softirqs invoke_softirq",
    "check_ update_ tick_ hrtimer_ __hrtimer local_ gic_ handle_ generic_handle do_interrupt call_on_irq",
    "arch_timer",
    "kthread ret_from_fork default_idle do_idle cpu_startup secondary_start __secondary",
    "synchronize_rcu_ rcu_ io_serial serial8250 uart_ console_ vprintk printk _printk",
)
"""Where a stuck task or CPU is merely found: not what a stall is about."""

BODY = _starts(
    # lib/dump_stack.c, arch/*/kernel: who, where, registers, stack, code
    r"CPU: |CPU\d+|Comm: |Hardware name: |Modules linked in: |Workqueue: |Tainted: |Call [Tt]race:|Backtrace:",
    r"Code: |RIP: |EIP: |IP: |RSP: |R[A-Z0-9]{2}: |E[A-Z]{2}: |R\d\d: |[CDEFGS]S: |CR\d: |DR\d: |PKRU: |EFLAGS: ",
    r"#PF: |PGD |P4D |PUD |Oops|task: |task:|Process |Stack:|Exception stack|pc : |lr : |sp : |pstate: |x\d+ ?: ",
    r"r\d+ ?: |PC is at|LR is at|pgd = |Flags: |Control: |Internal error|Mem abort info|Data abort info",
    r"user pgtable|swapper pgtable|\[[0-9a-f]{8,16}\] |NMI backtrace|\[<[0-9a-f]+>\]|Sending NMI|irq event stamp",
    r"hardirqs last|softirqs last|Kernel panic|Kernel Offset|Rebooting in|Dumping ftrace|SMP: stopping",
    r"CPU features|Memory Limit|note: |---\[|[=\-*]{5,}|Disabling lock|Preemption disabled|Showing ",
    # mm/debug.c, mm/page_owner.c
    r"page:|page_type|head:|raw: |flags: |memcg:|anon flags|ksm flags|aops:|page_owner|page has been|page last",
    r"page allocated|page dumped because",
    # mm/kasan, mm/kfence, kernel/kcsan, mm/slub.c, mm/kmemleak.c, lib/ubsan.c
    r"Read of size|Write of size|Read at addr|Write at addr|Allocated by|Freed by|Last potentially|Second to last",
    r"The buggy address|which belongs|Memory state|>?[0-9a-f]{3,16}:? +(?:[0-9a-f]{2,16}(?: +|$))+$|Pointer tag",
    r"Object\b|Redzone |Padding |Bytes b4|FIX |Slab 0x|KASAN: |kasan: |INFO: (?:Slab|Object|Allocated|Freed)",
    r"value changed|Reported by|write to 0x|read to 0x|race at|index |shift exponent|signed integer|backtrace",
    r'comm "|hex dump',
    # kernel/locking/lockdep.c, kernel/rcu, kernel/hung_task.c, kernel/sched/core.c
    r"\d+ locks? held|no locks held|INFO: lockdep|stack backtrace|other info|but task|and this task|which lock",
    r"the existing|the first|the second|the dependencies|the shortest|to a |but this|and interrupts|locks held",
    r'\S+/\d+ is |-> |\S+/\d+/0x|in_atomic|preempt_count|RCU nest|RCU grace-period|rcu: |rcu_\w+ kthread|"echo 0',
    r"Future hung",
)
"""Lines that reports are made of, besides indented and empty ones."""

AFTERMATH = _starts(
    r"RIP: |EIP: |RSP: |R[A-Z0-9]{2}: |R\d\d: |[CDEFGS]S: |CR\d: |DR\d: |PKRU: |Code: |note: |---\[|Rebooting",
    r"SMP: |CPU features|Kernel (?:panic|Offset)|Memory Limit",
)
"""What may still follow "---[ end trace": on x86 the registers once more, and the panic."""
