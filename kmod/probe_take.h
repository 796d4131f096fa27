/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages taken by the kernel on behalf of a program: in its context, so by its memory
 * policy and charged to its group.
 *
 *	/sys/kernel/debug/kg_probe/
 *		take	write "HOW GFP ORDER NUMBER": that many, one right after the other;
 *			ENOMEM where it did not get all, EOPNOTSUPP where this kernel has
 *			no such allocation.
 *			HOW: pages	alloc_pages()
 *			     frozen	alloc_frozen_pages()
 *			GFP: kernel	GFP_KERNEL
 *			     account	the same, charged to the group of the program
 *			     costly	the same, and tries hard, by itself, for a large order
 *		taken	a line each, in that order: its pfn, its node, the counter as it is
 *			stored, and 1 where that is one of a frozen page
 *		hoard	write a node: all that it has, to the last page
 *		give	write 1: all of that goes back
 */
#ifndef KG_PROBE_TAKE_H
#define KG_PROBE_TAKE_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "expect.h"
#include "frozen.h"
#include "hoard.h"
#include "kg.h"

#define KG_GFP_TAKE	(GFP_KERNEL | __GFP_NOWARN)

static DEFINE_MUTEX(kg_take_lock);
static LIST_HEAD(kg_taken);
static LIST_HEAD(kg_taken_frozen);
static LIST_HEAD(kg_hoarded);

static int kg_take_gfp(const char *name, gfp_t *gfp)
{
	if (!strcmp(name, "kernel"))
		*gfp = KG_GFP_TAKE;
	else if (!strcmp(name, "account"))
		*gfp = KG_GFP_TAKE | __GFP_NORETRY | __GFP_ACCOUNT;
	else if (!strcmp(name, "costly"))
		*gfp = (KG_GFP_TAKE | __GFP_RETRY_MAYFAIL) & ~__GFP_KSWAPD_RECLAIM;
	else
		return -EINVAL;
	return 0;
}

static int kg_take_pages(bool frozen, gfp_t gfp, unsigned int order, unsigned int number)
{
	struct page *page;

	while (number--) {
		page = frozen ? kg_alloc_frozen(gfp, order) : alloc_pages(gfp, order);
		if (!page)
			return -ENOMEM;
		set_page_private(page, order);
		list_add_tail(&page->lru, frozen ? &kg_taken_frozen : &kg_taken);
	}
	return 0;
}

static int kg_take(char *text)
{
	unsigned int order, number;
	char how[8], gfp_name[8];
	bool frozen;
	gfp_t gfp;

	if (sscanf(text, "%7s %7s %u %u", how, gfp_name, &order, &number) != 4)
		return -EINVAL;
	frozen = !strcmp(how, "frozen");
	if (kg_take_gfp(gfp_name, &gfp) || (!frozen && strcmp(how, "pages")))
		return -EINVAL;
	if (frozen && (!kg_find_frozen_alloc() || !kg_has_frozen_policy()))
		return -EOPNOTSUPP;
	return kg_take_pages(frozen, gfp, order, number);
}

static ssize_t kg_take_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char text[64] = {};
	int error;

	if (size >= sizeof(text) || copy_from_user(text, from, size))
		return -EINVAL;
	mutex_lock(&kg_take_lock);
	error = kg_take(text);
	mutex_unlock(&kg_take_lock);
	return error ? error : size;
}

static const struct file_operations kg_take_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = kg_take_write,
};

static void kg_show_taken(struct seq_file *file, struct list_head *taken)
{
	struct page *page;

	list_for_each_entry(page, taken, lru)
		seq_printf(file, "%lu %d %08x %d\n", page_to_pfn(page), page_to_nid(page),
			   kg_raw(page), kg_is_frozen(kg_raw(page)));
}

static int kg_taken_show(struct seq_file *file, void *data)
{
	mutex_lock(&kg_take_lock);
	kg_show_taken(file, &kg_taken);
	kg_show_taken(file, &kg_taken_frozen);
	mutex_unlock(&kg_take_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kg_taken);

/* What a program has found wrong, it has said: the pages go back as what they ought to be. */
static void kg_give_taken_back(struct list_head *taken, bool frozen)
{
	struct page *page, *next;
	unsigned int order;

	list_for_each_entry_safe(page, next, taken, lru) {
		list_del(&page->lru);
		order = page_private(page);
		set_page_private(page, 0);
		if (frozen) {
			kg_set_frozen(page);
			kg_free_frozen(page, order);
		} else {
			kg_release(page, order);
		}
	}
}

static int kg_set_hoard(void *data, u64 nid)
{
	if (nid >= MAX_NUMNODES || !node_state(nid, N_MEMORY))
		return -EINVAL;
	mutex_lock(&kg_take_lock);
	kg_hoard(&kg_hoarded, nid, KG_TO_NOTHING);
	mutex_unlock(&kg_take_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_hoard_fops, NULL, kg_set_hoard, "%llu\n");

static void kg_give_everything_back(void)
{
	mutex_lock(&kg_take_lock);
	kg_give_taken_back(&kg_taken, false);
	kg_give_taken_back(&kg_taken_frozen, true);
	kg_give_all_back(&kg_hoarded);
	mutex_unlock(&kg_take_lock);
}

static int kg_set_give(void *data, u64 value)
{
	if (value != 1)
		return -EINVAL;
	kg_give_everything_back();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kg_give_fops, NULL, kg_set_give, "%llu\n");

static void kg_probe_take_init(struct dentry *folder)
{
	debugfs_create_file("take", 0200, folder, NULL, &kg_take_fops);
	debugfs_create_file("taken", 0400, folder, NULL, &kg_taken_fops);
	debugfs_create_file("hoard", 0200, folder, NULL, &kg_hoard_fops);
	debugfs_create_file("give", 0200, folder, NULL, &kg_give_fops);
}

#endif
