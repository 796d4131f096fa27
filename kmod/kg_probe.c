// SPDX-License-Identifier: GPL-2.0-only
/*
 * The count of one page, for a program in user space.
 *
 *	/sys/kernel/debug/kg_probe/
 *		pfn	which page (decimal); what has no struct page is ENXIO
 *		raw	the counter as it is stored, 8 hexadecimal digits
 *		count	page_count()
 *		frozen	1 where the raw count is that of a frozen page
 *		try_get	write 1: get_page_unless_zero()
 *		result	what the last try_get returned; of unpoison, whether the page is free
 *		put	write 1: put_page()
 *		memmap	pfn of the page that holds its struct page
 *		unpoison write 1: unpoison_memory(), and drain, before anybody else
 *			is given the page
 *		drain	write 1: what lies in lists of single CPUs goes to the buddies
 *		scan	the same, then the invariant over all memory; the first line
 *			is "bad N"
 *		init	first and last pfn of the memory given back after boot
 *		base	what differs between kernels (compat.h), a line each: its name,
 *			and 1 where it is so
 *		take, taken, hoard, give: see probe_take.h
 *
 * One program at a time: the pfn is one for all.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>

#include "frozen_scan.h"
#include "probe_take.h"
#include "symbols.h"

/* NULL until somebody has said which. */
static struct page *kg_page;
static u64 kg_result;

static int kg_get_pfn(void *data, u64 *value)
{
	if (!kg_page)
		return -ENXIO;
	*value = page_to_pfn(kg_page);
	return 0;
}

static int kg_set_pfn(void *data, u64 value)
{
	if (!pfn_valid(value))
		return -ENXIO;
	kg_page = pfn_to_page(value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_pfn_fops, kg_get_pfn, kg_set_pfn, "%llu\n");

static u64 kg_ask_raw(void)
{
	return kg_raw(kg_page);
}

static u64 kg_ask_count(void)
{
	return (s64)page_count(kg_page);
}

static u64 kg_ask_frozen(void)
{
	return kg_is_frozen(kg_raw(kg_page));
}

/* vmalloc_to_page() reads the page tables of the kernel, wherever the address is. */
static u64 kg_ask_memmap(void)
{
	return page_to_pfn(vmalloc_to_page(kg_page));
}

static u64 kg_ask_result(void)
{
	return kg_result;
}

static int kg_ask(void *data, u64 *value)
{
	u64 (*ask)(void) = data;

	if (!kg_page)
		return -ENXIO;
	*value = ask();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_number_fops, kg_ask, NULL, "%lld\n");
DEFINE_DEBUGFS_ATTRIBUTE(kg_hex_fops, kg_ask, NULL, "%08llx\n");

/* These two have names of their own, which a call trace shows. */
static noinline int kg_probe_try_get(void *data, u64 value)
{
	if (!kg_page || value != 1)
		return -EINVAL;
	/* As everybody has to who has only found the page. */
	rcu_read_lock();
	kg_result = get_page_unless_zero(kg_page);
	rcu_read_unlock();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_try_get_fops, NULL, kg_probe_try_get, "%llu\n");

static noinline int kg_probe_put(void *data, u64 value)
{
	if (!kg_page || value != 1)
		return -EINVAL;
	put_page(kg_page);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_put_fops, NULL, kg_probe_put, "%llu\n");

static int kg_drain(void)
{
	void (*drain_all_pages)(struct zone *zone) = kg_lookup("drain_all_pages");

	if (!drain_all_pages)
		return -ENOENT;
	drain_all_pages(NULL);
	return 0;
}

static int kg_unpoison(void *data, u64 value)
{
	int (*unpoison_memory)(unsigned long pfn) = kg_lookup("unpoison_memory");
	bool (*is_free_buddy_page)(const struct page *page) = kg_lookup("is_free_buddy_page");
	int error;

	if (!kg_page || value != 1)
		return -EINVAL;
	if (!unpoison_memory || !is_free_buddy_page)
		return -ENOENT;
	error = unpoison_memory(page_to_pfn(kg_page));
	if (error)
		return error;
	error = kg_drain();
	kg_result = is_free_buddy_page(kg_page);
	return error;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_unpoison_fops, NULL, kg_unpoison, "%llu\n");

static int kg_set_drain(void *data, u64 value)
{
	return value == 1 ? kg_drain() : -EINVAL;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_drain_fops, NULL, kg_set_drain, "%llu\n");

static int kg_scan_show(struct seq_file *file, void *data)
{
	int error = kg_drain();
	struct kg_scan scan;
	unsigned long i;

	if (error)
		return error;
	scan = kg_scan();
	seq_printf(file, "bad %lu\n", scan.bad);
	seq_printf(file, "pages %lu\nbuddy_blocks %lu\nbuddy_pages %lu\n",
		   scan.pages, scan.buddy_blocks, scan.buddy_pages);
	seq_printf(file, "tails %lu\nslabs %lu\nlarge_kmallocs %lu\n",
		   scan.tails, scan.slabs, scan.large_kmallocs);
	for (i = 0; i < min_t(unsigned long, scan.bad, KG_SCAN_OFFENDERS); i++)
		seq_printf(file, "pfn %lx (%s): raw %08x, flags %lx\n",
			   scan.offenders[i].pfn, scan.offenders[i].kind,
			   scan.offenders[i].raw, scan.offenders[i].flags);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kg_scan);

static int kg_init_show(struct seq_file *file, void *data)
{
	void *begin = kg_lookup("__init_begin");
	void *end = kg_lookup("__init_end");

	if (!begin || !end)
		return -ENOENT;
	seq_printf(file, "%llu %llu\n", (u64)PHYS_PFN(__pa_symbol(begin)),
		   (u64)PHYS_PFN(__pa_symbol(end)) - 1);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kg_init);

static int kg_base_show(struct seq_file *file, void *data)
{
	seq_printf(file, "idle_dax_is_frozen %d\n", kg_idle_dax_is_frozen());
	seq_printf(file, "poisoner_is_told %d\n", kg_poisoner_is_told());
	seq_printf(file, "frozen_policy %d\n", kg_has_frozen_policy());
	seq_printf(file, "slab_is_frozen %d\n", kg_slab_is_frozen());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kg_base);

static struct dentry *kg_folder;

static int __init kg_probe_init(void)
{
	kg_folder = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("pfn", 0600, kg_folder, NULL, &kg_pfn_fops);
	debugfs_create_file("raw", 0400, kg_folder, kg_ask_raw, &kg_hex_fops);
	debugfs_create_file("count", 0400, kg_folder, kg_ask_count, &kg_number_fops);
	debugfs_create_file("frozen", 0400, kg_folder, kg_ask_frozen, &kg_number_fops);
	debugfs_create_file("memmap", 0400, kg_folder, kg_ask_memmap, &kg_number_fops);
	debugfs_create_file("try_get", 0200, kg_folder, NULL, &kg_try_get_fops);
	debugfs_create_file("result", 0400, kg_folder, kg_ask_result, &kg_number_fops);
	debugfs_create_file("put", 0200, kg_folder, NULL, &kg_put_fops);
	debugfs_create_file("unpoison", 0200, kg_folder, NULL, &kg_unpoison_fops);
	debugfs_create_file("drain", 0200, kg_folder, NULL, &kg_drain_fops);
	debugfs_create_file("scan", 0400, kg_folder, NULL, &kg_scan_fops);
	debugfs_create_file("init", 0400, kg_folder, NULL, &kg_init_fops);
	debugfs_create_file("base", 0400, kg_folder, NULL, &kg_base_fops);
	kg_probe_take_init(kg_folder);
	pr_info("judged as %s\n", kg_expect.variant);
	return 0;
}
module_init(kg_probe_init);

static void __exit kg_probe_exit(void)
{
	debugfs_remove(kg_folder);
	kg_give_everything_back();
}
module_exit(kg_probe_exit);

MODULE_DESCRIPTION("The count of a page, in debugfs");
MODULE_LICENSE("GPL");
