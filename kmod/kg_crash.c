// SPDX-License-Identifier: GPL-2.0-only
/*
 * Crash triggers: one call that must, or must not, be caught by the kernel.
 *
 *	echo trigger > /sys/kernel/debug/kg_crash/NAME	call it on a frozen page
 *	echo residue > ...				the same, after 5 failed gets
 *	echo control > ...				call it on a page we own
 *
 * The write returns, and a line says "survived", when nothing caught the call:
 * silence alone would not tell a call that did nothing from one never made.
 * Each call has a function of its own, which the call trace names.
 *
 * D-01 to D-07 are the assertions of the frozen-bit series. FP-05 frees a
 * frozen range wrongly, and rightly on a page we own. GATE-* make the
 * complaints that a judge of kernel logs has to know; they too do nothing on a
 * page we own.
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

#include "compat.h"
#include "expect.h"
#include "kg.h"

/* One line a trigger: the gate lists them by reading these lines. */
#define KG_TRIGGER(id, call)	{ id, #call, kg_trigger_##call }

/* References on the page of a control: none of the calls may be the last. */
#define KG_CONTROL_COUNT	3
#define KG_RESIDUE		5

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

static bool kg_owned(const struct page *page)
{
	return page_ref_count(page) != 0;
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
	/* No tail call: this function has to be in the trace. */
	barrier();
}

static const struct kg_trigger {
	const char *id;
	const char *name;
	void (*call)(struct page *page);
} kg_triggers[] = {
	KG_TRIGGER("D-01", page_ref_add),
	KG_TRIGGER("D-02", page_ref_sub),
	KG_TRIGGER("D-03", page_ref_inc),
	KG_TRIGGER("D-04", page_ref_dec),
	KG_TRIGGER("D-05", page_ref_inc_return),
	KG_TRIGGER("D-06", page_ref_dec_return),
	KG_TRIGGER("D-07", folio_ref_sub_return),
	KG_TRIGGER("FP-05", free_contig_of_a_tail),
	KG_TRIGGER("FP-05", free_contig_of_wrong_order),
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

/* Make @page what @mode asks for. False: there is no such mode. */
static bool kg_prepare(struct page *page, const char *mode)
{
	int i;

	if (!strcmp(mode, "control")) {
		kg_set_raw(page, KG_CONTROL_COUNT);
		return true;
	}
	if (strcmp(mode, "trigger") && strcmp(mode, "residue"))
		return false;
	kg_set_raw(page, kg_expect.frozen);
	for (i = 0; !strcmp(mode, "residue") && i < KG_RESIDUE; i++)
		kg_try_add(page, 1);
	return true;
}

static int kg_run(const struct kg_trigger *trigger, const char *mode)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return -ENOMEM;
	if (!kg_prepare(page, mode)) {
		kg_release(page, 0);
		return -EINVAL;
	}
	pr_info("%s %s %s on raw=%08x\n", trigger->id, trigger->name, mode,
		kg_raw(page));
	trigger->call(page);
	pr_info("%s %s survived raw=%08x\n", trigger->name, mode, kg_raw(page));
	kg_release(page, 0);
	return 0;
}

static ssize_t kg_write(struct file *file, const char __user *buffer,
			size_t count, loff_t *position)
{
	char text[16] = {};
	int error;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buffer, count))
		return -EFAULT;
	error = kg_run(file_inode(file)->i_private, strim(text));
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
