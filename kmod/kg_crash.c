// SPDX-License-Identifier: GPL-2.0-only
/*
 * Crash triggers: one call that must, or must not, be caught by the kernel.
 *
 *	echo trigger > /sys/kernel/debug/kg_crash/NAME	call it where it is illegal,
 *							mostly on a frozen page
 *	echo residue > ...				the same, on what 5 failed gets leave
 *	echo control > ...				call it where it is legal,
 *							mostly on a page we own
 *
 * The write returns, and a line says "survived", when nothing caught the call:
 * silence alone would not tell a call that did nothing from one never made.
 * Each call has a function of its own, which the call trace names.
 *
 * D-* are the assertions of the frozen-bit series and those that were there
 * before it; G-* are calls that its rules forbid although version 4 catches none
 * of them. RCU-01 is a reference taken outside RCU. REF-12 only prints. FP-05
 * frees a frozen range wrongly, and rightly on a page we own. SLAB-04 takes a
 * reference on memory that has none to give. GATE-* make the complaints that a
 * judge of kernel logs has to know; they too do nothing on a page we own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/uaccess.h>

#include "internal.h"

#include "compat.h"
#include "expect.h"
#include "kg.h"

/*
 * One line a trigger: the gate lists them by reading these lines. What follows
 * the call says where it differs from "on a frozen page, and on one we own".
 */
#define KG_TRIGGER(id, call, ...)	{ id, #call, kg_trigger_##call, ##__VA_ARGS__ }

/* References on the page of a control: none of the calls may be the last. */
#define KG_CONTROL_COUNT	3
#define KG_RESIDUE		5

/* What the count of a page is before a call. */
struct kg_count {
	enum { KG_AS_USUAL, KG_FROZEN, KG_RAW } is;
	u32 raw;
};

struct kg_trigger {
	const char *id;
	const char *name;
	void (*call)(struct page *page);
	/* The legal form of the call; the same, where the page makes the difference. */
	void (*legal_call)(struct page *page);
	/* Where the call is illegal: as usual, on a frozen page. */
	struct kg_count on;
	/* Where it is legal: as usual, on a page that we own. */
	struct kg_count legal_on;
	/* The call is on the tail of a compound page of order 1, its control on the head. */
	bool tail;
	/* The call is on a page of order 1, and splits it. */
	bool splits;
	/* Why this kernel does not do what the trigger is about, or NULL. */
	const char *skipped;
};

static unsigned int seconds = 30;
module_param(seconds, uint, 0644);
MODULE_PARM_DESC(seconds, "How long a trigger hogs a CPU, or sleeps (default 30)");

static noinline void kg_trigger_page_ref_add(struct page *page)
{
	page_ref_add(page, 1);
}

static noinline void kg_trigger_page_ref_sub(struct page *page)
{
	page_ref_sub(page, 1);
}

static noinline void kg_trigger_page_ref_inc(struct page *page)
{
	page_ref_inc(page);
}

static noinline void kg_trigger_page_ref_dec(struct page *page)
{
	page_ref_dec(page);
}

static noinline void kg_trigger_page_ref_inc_return(struct page *page)
{
	page_ref_inc_return(page);
}

static noinline void kg_trigger_page_ref_dec_return(struct page *page)
{
	page_ref_dec_return(page);
}

static noinline void kg_trigger_folio_ref_sub_return(struct page *page)
{
	folio_ref_sub_return(page_folio(page), 1);
}

/* The same through the folio. Each inlines the function it wraps. */
static noinline void kg_trigger_folio_ref_add(struct page *page)
{
	folio_ref_add(page_folio(page), 1);
}

static noinline void kg_trigger_folio_ref_sub(struct page *page)
{
	folio_ref_sub(page_folio(page), 1);
}

static noinline void kg_trigger_folio_ref_inc(struct page *page)
{
	folio_ref_inc(page_folio(page));
}

static noinline void kg_trigger_folio_ref_dec(struct page *page)
{
	folio_ref_dec(page_folio(page));
}

static noinline void kg_trigger_folio_ref_inc_return(struct page *page)
{
	folio_ref_inc_return(page_folio(page));
}

static noinline void kg_trigger_folio_ref_dec_return(struct page *page)
{
	folio_ref_dec_return(page_folio(page));
}

static noinline void kg_trigger_put_page_testzero(struct page *page)
{
	put_page_testzero(page);
}

static noinline void kg_trigger_folio_get(struct page *page)
{
	folio_get(page_folio(page));
}

static noinline void kg_trigger_set_page_refcounted(struct page *page)
{
	set_page_refcounted(page);
}

static noinline void kg_trigger_set_page_refcounted_of_tail(struct page *page)
{
	set_page_refcounted(page);
}

static noinline void kg_trigger_page_ref_unfreeze(struct page *page)
{
	page_ref_unfreeze(page, 1);
}

static noinline void kg_trigger_page_ref_unfreeze_to_zero(struct page *page)
{
	page_ref_unfreeze(page, 0);
}

/* Until then the same condition was a VM_BUG_ON_PAGE(). */
#ifdef VM_WARN_ON_PAGE
#define KG_NO_SPLIT_WARNING	NULL
#else
#define KG_NO_SPLIT_WARNING	"split_page() dies here where later ones warn: run with --base 7.2"
#endif

static noinline void kg_trigger_split_page(struct page *page)
{
	split_page(page, 1);
}

static bool kg_owned(const struct page *page)
{
	return page_ref_count(page) != 0;
}

/* It must not only complain, but refuse as well. */
static noinline void kg_trigger_try_get_page(struct page *page)
{
	bool owned = kg_owned(page);

	WARN(try_get_page(page) != owned, "kg_crash: try_get_page() %s\n",
	     owned ? "refused an owned page" : "gave a frozen page");
}

/* Somebody who has only found the page has to be a reader of RCU. */
static bool kg_got;

static noinline void kg_trigger_get_outside_rcu(struct page *page)
{
	kg_got = get_page_unless_zero(page);
}

static noinline void kg_trigger_get_inside_rcu(struct page *page)
{
	rcu_read_lock();
	kg_got = get_page_unless_zero(page);
	rcu_read_unlock();
}

static noinline void kg_trigger_folio_try_get_outside_rcu(struct page *page)
{
	kg_got = folio_try_get(page_folio(page));
}

/* Nobody can take the CPU away from it: as good as a section of its own. */
static noinline void kg_trigger_folio_try_get_with_interrupts_off(struct page *page)
{
	local_irq_disable();
	kg_got = folio_try_get(page_folio(page));
	local_irq_enable();
}

#define KG_NOBODY_PROVES	(IS_ENABLED(CONFIG_PROVE_PAGE_REF) ? NULL : \
	"nobody looks whether RCU is there: run with --series rcu-protocol --config prove_refs")

/*
 * Gap cases: the count of a page drops to 0 only inside dec_and_test, which then
 * freezes it, and only a page with owners is counted on at all.
 */
static noinline void kg_trigger_page_ref_dec_to_zero(struct page *page)
{
	page_ref_dec(page);
}

static noinline void kg_trigger_page_ref_sub_to_zero(struct page *page)
{
	page_ref_sub(page, 7);
}

static noinline void kg_trigger_page_ref_dec_return_to_zero(struct page *page)
{
	page_ref_dec_return(page);
}

static noinline void kg_trigger_folio_ref_sub_return_to_zero(struct page *page)
{
	folio_ref_sub_return(page_folio(page), 7);
}

/* Neither on a frozen page nor on one with more references is a put the last one. */
static void kg_expect_not_last(bool last)
{
	WARN(last, "the put says that it was the last one\n");
}

static noinline void kg_trigger_page_ref_sub_and_test(struct page *page)
{
	kg_expect_not_last(page_ref_sub_and_test(page, 1));
}

static noinline void kg_trigger_folio_put_refs(struct page *page)
{
	folio_put_refs(page_folio(page), 1);
}

static noinline void kg_trigger_page_ref_dec_and_test(struct page *page)
{
	kg_expect_not_last(page_ref_dec_and_test(page));
}

static noinline void kg_trigger_page_ref_unfreeze_to_negative(struct page *page)
{
	page_ref_unfreeze(page, -1);
}

static noinline void kg_trigger_page_ref_unfreeze_of_zero(struct page *page)
{
	page_ref_unfreeze(page, 1);
}

static noinline void kg_trigger_page_ref_inc_at_int_max(struct page *page)
{
	page_ref_inc(page);
}

static noinline void kg_trigger_dump_page(struct page *page)
{
	dump_page(page, "kg_crash: page dump as asked for");
}

static noinline void kg_trigger_panic(struct page *page)
{
	if (!kg_owned(page))
		panic("kg_crash: panic as asked for");
}

static noinline void kg_trigger_warning(struct page *page)
{
	WARN(!kg_owned(page), "kg_crash: warning as asked for\n");
}

/* To unfreeze to no reference at all is a VM_BUG_ON() in every kernel. */
static noinline void kg_trigger_vm_bug(struct page *page)
{
	if (!kg_owned(page))
		page_ref_unfreeze(page, 0);
}

static noinline void kg_trigger_null_dereference(struct page *page)
{
	unsigned long *word = kg_owned(page) ? (unsigned long *)page : NULL;

	OPTIMIZER_HIDE_VAR(word);
	READ_ONCE(*word);
}

/* Nothing but an NMI, or another CPU's watchdog, gets through to this CPU. */
static noinline void kg_trigger_hard_lockup(struct page *page)
{
	if (kg_owned(page))
		return;
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static void kg_hog_cpu(void)
{
	ktime_t end = ktime_add_ms(ktime_get(), seconds * MSEC_PER_SEC);

	while (ktime_before(ktime_get(), end))
		cpu_relax();
}

static noinline void kg_trigger_soft_lockup(struct page *page)
{
	if (kg_owned(page))
		return;
	preempt_disable();
	kg_hog_cpu();
	preempt_enable();
}

static noinline void kg_trigger_rcu_stall(struct page *page)
{
	if (kg_owned(page))
		return;
	rcu_read_lock();
	kg_hog_cpu();
	rcu_read_unlock();
}

static noinline void kg_trigger_hung_task(struct page *page)
{
	if (kg_owned(page))
		return;
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(seconds * HZ);
}

static noinline void kg_trigger_sleep_in_atomic(struct page *page)
{
	static DEFINE_MUTEX(lock);

	if (!kg_owned(page))
		preempt_disable();
	mutex_lock(&lock);
	msleep(20);
	mutex_unlock(&lock);
	/* The scheduler, having complained, has enabled preemption by itself. */
	if (preempt_count())
		preempt_enable();
}

/* A page with private data must not be freed. */
static noinline void kg_trigger_bad_page_state(struct page *page)
{
	struct page *victim = alloc_page(GFP_KERNEL);

	if (!victim)
		return;
	if (!kg_owned(page))
		SetPagePrivate(victim);
	__free_page(victim);
}

static noinline void kg_trigger_list_corruption(struct page *page)
{
	struct list_head entry, other;
	LIST_HEAD(list);

	list_add(&entry, &list);
	if (!kg_owned(page))
		entry.prev = &other;
	list_del(&entry);
}

static noinline void kg_trigger_refcount(struct page *page)
{
	refcount_t count = REFCOUNT_INIT(1);

	if (!kg_owned(page))
		refcount_set(&count, 0);
	refcount_inc(&count);
}

static DEFINE_SPINLOCK(kg_first);
static DEFINE_SPINLOCK(kg_second);

/* Both orders, one after the other: a deadlock only lockdep can see. */
static noinline void kg_trigger_lock_inversion(struct page *page)
{
	spin_lock(&kg_first);
	spin_lock(&kg_second);
	spin_unlock(&kg_second);
	spin_unlock(&kg_first);
	if (kg_owned(page))
		return;
	spin_lock(&kg_second);
	spin_lock(&kg_first);
	spin_unlock(&kg_first);
	spin_unlock(&kg_second);
}

/* KASAN reports it; without KASAN nothing does. */
static noinline void kg_trigger_use_after_free(struct page *page)
{
	u8 *bytes = kzalloc(64, GFP_KERNEL);
	u8 *stale = bytes;

	if (!bytes)
		return;
	OPTIMIZER_HIDE_VAR(stale);
	if (!kg_owned(page))
		kfree(bytes);
	READ_ONCE(stale[8]);
	if (kg_owned(page))
		kfree(bytes);
}

#define KG_RANGE_PAGES		512UL

static struct page *kg_alloc_range(const char *name)
{
	if (!kg_has_contig_frozen()) {
		pr_info("%s skipped: no contiguous frozen allocation: run with --base 7.2\n", name);
		return NULL;
	}
	return kg_alloc_contig_frozen(KG_RANGE_PAGES, GFP_KERNEL | __GFP_COMP, numa_mem_id());
}

static noinline void kg_trigger_free_contig_of_a_tail(struct page *page)
{
	struct page *range = kg_alloc_range("free_contig_of_a_tail");

	if (!range)
		return;
	if (!kg_owned(page))
		kg_free_contig_frozen(range + KG_RANGE_PAGES / 2, KG_RANGE_PAGES / 2);
	kg_free_contig_frozen(range, KG_RANGE_PAGES);
}

static noinline void kg_trigger_free_contig_of_wrong_order(struct page *page)
{
	struct page *range = kg_alloc_range("free_contig_of_wrong_order");

	if (!range)
		return;
	kg_free_contig_frozen(range, kg_owned(page) ? KG_RANGE_PAGES : KG_RANGE_PAGES / 2);
}

#ifdef KG_HAVE_GET_PAGE_REFUSES_SLABS
#define KG_NO_REFUSAL	NULL
#else
#define KG_NO_REFUSAL	"get_page() takes slabs for ordinary pages here: run with --base 7.2"
#endif

/*
 * Legal on a page that somebody owns; of memory of @size the kernel says that nobody does. Not
 * inlined: where get_page() is a function of its own, arm64 leaves its caller out of the trace.
 */
static noinline void kg_get_memory(struct page *page, size_t size)
{
	void *memory;

	if (kg_owned(page)) {
		get_page(page);
		put_page(page);
		return;
	}
	memory = kmalloc(size, GFP_KERNEL);
	if (!memory)
		return;
	get_page(virt_to_page(memory));
	kfree(memory);
}

static noinline void kg_trigger_get_page_of_slab(struct page *page)
{
	kg_get_memory(page, 64);
}

static noinline void kg_trigger_get_page_of_large_kmalloc(struct page *page)
{
	kg_get_memory(page, 4 * KMALLOC_MAX_CACHE_SIZE);
}

static const struct kg_trigger kg_triggers[] = {
	KG_TRIGGER("D-01", page_ref_add),
	KG_TRIGGER("D-02", page_ref_sub),
	KG_TRIGGER("D-03", page_ref_inc),
	KG_TRIGGER("D-04", page_ref_dec),
	KG_TRIGGER("D-05", page_ref_inc_return),
	KG_TRIGGER("D-06", page_ref_dec_return),
	KG_TRIGGER("D-07", folio_ref_sub_return),
	KG_TRIGGER("D-08", folio_ref_add),
	KG_TRIGGER("D-09", folio_ref_sub),
	KG_TRIGGER("D-10", folio_ref_inc),
	KG_TRIGGER("D-11", folio_ref_dec),
	KG_TRIGGER("D-12", folio_ref_inc_return),
	KG_TRIGGER("D-13", folio_ref_dec_return),
	KG_TRIGGER("D-14", put_page_testzero),
	KG_TRIGGER("D-15", folio_get),
	KG_TRIGGER("D-16", set_page_refcounted,
		   .on = { KG_RAW, 1 }, .legal_on = { KG_FROZEN }),
	KG_TRIGGER("D-17", set_page_refcounted_of_tail,
		   .tail = true, .legal_on = { KG_FROZEN }),
	KG_TRIGGER("D-18", page_ref_unfreeze,
		   .on = { KG_RAW, 1 }, .legal_on = { KG_FROZEN }),
	KG_TRIGGER("D-19", page_ref_unfreeze_to_zero,
		   .legal_call = kg_trigger_page_ref_unfreeze,
		   .legal_on = { KG_FROZEN }),
	KG_TRIGGER("D-20", split_page, .splits = true, .skipped = KG_NO_SPLIT_WARNING),
	KG_TRIGGER("D-21", try_get_page),
	KG_TRIGGER("G-01", page_ref_dec_to_zero,
		   .on = { KG_RAW, 1 }, .legal_on = { KG_RAW, 2 }),
	KG_TRIGGER("G-02", page_ref_sub_to_zero,
		   .on = { KG_RAW, 7 }, .legal_on = { KG_RAW, 8 }),
	KG_TRIGGER("G-03", page_ref_dec_return_to_zero,
		   .on = { KG_RAW, 1 }, .legal_on = { KG_RAW, 2 }),
	KG_TRIGGER("G-03", folio_ref_sub_return_to_zero,
		   .on = { KG_RAW, 7 }, .legal_on = { KG_RAW, 8 }),
	KG_TRIGGER("G-04", page_ref_sub_and_test),
	KG_TRIGGER("G-04", folio_put_refs),
	KG_TRIGGER("G-05", page_ref_dec_and_test),
	KG_TRIGGER("G-06", page_ref_unfreeze_to_negative,
		   .legal_call = kg_trigger_page_ref_unfreeze,
		   .legal_on = { KG_FROZEN }),
	KG_TRIGGER("G-07", page_ref_unfreeze_of_zero,
		   .on = { KG_RAW, 0 }, .legal_on = { KG_FROZEN }),
	KG_TRIGGER("G-08", page_ref_inc_at_int_max,
		   .on = { KG_RAW, INT_MAX }, .legal_on = { KG_RAW, INT_MAX - 1 }),
	KG_TRIGGER("RCU-01", get_outside_rcu,
		   .on = { KG_RAW, 3 }, .legal_call = kg_trigger_get_inside_rcu,
		   .skipped = KG_NOBODY_PROVES),
	KG_TRIGGER("RCU-01", folio_try_get_outside_rcu,
		   .on = { KG_RAW, 3 }, .legal_call = kg_trigger_folio_try_get_with_interrupts_off,
		   .skipped = KG_NOBODY_PROVES),
	KG_TRIGGER("REF-12", dump_page),
	KG_TRIGGER("FP-05", free_contig_of_a_tail),
	KG_TRIGGER("FP-05", free_contig_of_wrong_order),
	KG_TRIGGER("SLAB-04", get_page_of_slab, .skipped = KG_NO_REFUSAL),
	KG_TRIGGER("SLAB-04", get_page_of_large_kmalloc, .skipped = KG_NO_REFUSAL),
	KG_TRIGGER("GATE-01", panic),
	KG_TRIGGER("GATE-02", warning),
	KG_TRIGGER("GATE-03", vm_bug),
	KG_TRIGGER("GATE-04", null_dereference),
	KG_TRIGGER("GATE-05", hard_lockup),
	KG_TRIGGER("GATE-06", soft_lockup),
	KG_TRIGGER("GATE-07", rcu_stall),
	KG_TRIGGER("GATE-08", hung_task),
	KG_TRIGGER("GATE-09", sleep_in_atomic),
	KG_TRIGGER("GATE-10", bad_page_state),
	KG_TRIGGER("GATE-11", list_corruption),
	KG_TRIGGER("GATE-12", refcount),
	KG_TRIGGER("GATE-13", lock_inversion),
	KG_TRIGGER("GATE-14", use_after_free),
};

enum kg_mode { KG_TRIGGERED, KG_RESIDUAL, KG_CONTROLLED, KG_MODES };

static const char * const kg_modes[KG_MODES] = {
	[KG_TRIGGERED] = "trigger",
	[KG_RESIDUAL] = "residue",
	[KG_CONTROLLED] = "control",
};

static u32 kg_raw_for(const struct kg_trigger *trigger, enum kg_mode mode)
{
	const struct kg_count *count = mode == KG_CONTROLLED ? &trigger->legal_on : &trigger->on;

	if (count->is == KG_RAW)
		return count->raw;
	if (count->is == KG_AS_USUAL && mode == KG_CONTROLLED)
		return KG_CONTROL_COUNT;
	return kg_expect.frozen;
}

/* The page that @mode of @trigger acts on is @page, or one of those behind it. */
static struct page *kg_prepare(const struct kg_trigger *trigger, enum kg_mode mode,
			       struct page *page)
{
	u32 raw = kg_raw_for(trigger, mode);

	if (trigger->tail && mode != KG_CONTROLLED)
		page++;
	if (mode == KG_RESIDUAL && kg_expect.bit && trigger->on.is != KG_RAW)
		raw += KG_RESIDUE;
	kg_set_raw(page, raw);
	return page;
}

/* A page that was split consists of two; a tail is not to keep what it was given. */
static void kg_release_all(const struct kg_trigger *trigger, struct page *pages)
{
	if (trigger->tail)
		kg_set_raw(pages + 1, kg_expect.frozen);
	if (!trigger->splits)
		return kg_release(pages, trigger->tail);
	kg_release(pages, 0);
	kg_release(pages + 1, 0);
}

static int kg_run(const struct kg_trigger *trigger, enum kg_mode mode)
{
	struct page *pages, *page;

	if (trigger->skipped) {
		pr_info("%s skipped: %s\n", trigger->name, trigger->skipped);
		return 0;
	}
	pages = alloc_pages(GFP_KERNEL | (trigger->tail ? __GFP_COMP : 0),
			    trigger->tail || trigger->splits);
	if (!pages)
		return -ENOMEM;
	page = kg_prepare(trigger, mode, pages);
	pr_info("%s %s %s on raw=%08x\n", trigger->id, trigger->name, kg_modes[mode],
		kg_raw(page));
	if (mode == KG_CONTROLLED && trigger->legal_call)
		trigger->legal_call(page);
	else
		trigger->call(page);
	pr_info("%s %s survived raw=%08x\n", trigger->name, kg_modes[mode], kg_raw(page));
	kg_release_all(trigger, pages);
	return 0;
}

static ssize_t kg_write(struct file *file, const char __user *buffer,
			size_t count, loff_t *position)
{
	char text[16] = {};
	int mode, error;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buffer, count))
		return -EFAULT;
	mode = match_string(kg_modes, KG_MODES, strim(text));
	if (mode < 0)
		return mode;
	error = kg_run(file_inode(file)->i_private, mode);
	return error ?: count;
}

static const struct file_operations kg_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = kg_write,
};

static struct dentry *kg_folder;

static int __init kg_crash_init(void)
{
	int i;

	kg_folder = debugfs_create_dir("kg_crash", NULL);
	for (i = 0; i < ARRAY_SIZE(kg_triggers); i++)
		debugfs_create_file(kg_triggers[i].name, 0200, kg_folder,
				    (void *)&kg_triggers[i], &kg_fops);
	pr_info("%zu triggers, judged as %s\n", ARRAY_SIZE(kg_triggers),
		kg_expect.variant);
	return 0;
}
module_init(kg_crash_init);

static void __exit kg_crash_exit(void)
{
	debugfs_remove(kg_folder);
}
module_exit(kg_crash_exit);

MODULE_DESCRIPTION("Crash triggers in debugfs");
MODULE_LICENSE("GPL");
