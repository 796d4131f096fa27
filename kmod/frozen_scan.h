/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The invariant of struct page, checked over all memory that is online.
 *
 * Pages that nobody may take a reference on, and that nobody owns by count,
 * are frozen: each page of each block in the buddy allocator, the tails of
 * compound pages, slab pages and large kmalloc pages.
 *
 * The scan runs while stop_machine() holds all other CPUs at a point where they
 * could be preempted, hence outside zone->lock and every other spinlock. So
 * what it sees is a state that lasts, not the middle of a change.
 */
#ifndef KG_FROZEN_SCAN_H
#define KG_FROZEN_SCAN_H

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/stop_machine.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

#define KG_SCAN_OFFENDERS	8

struct kg_offender {
	const char *kind;
	unsigned long pfn;
	unsigned long flags;
	u32 raw;
};

struct kg_scan {
	unsigned long pages;
	unsigned long buddy_blocks;
	unsigned long buddy_pages;
	unsigned long tails;
	unsigned long slabs;
	unsigned long large_kmallocs;
	unsigned long bad;
	struct kg_offender offenders[KG_SCAN_OFFENDERS];
};

static void kg_scan_page(struct kg_scan *scan, const struct page *page,
			 const char *kind)
{
	u32 raw = kg_raw(page);

	if (kg_is_frozen(raw))
		return;
	if (scan->bad < KG_SCAN_OFFENDERS)
		scan->offenders[scan->bad] = (struct kg_offender){
			.kind = kind,
			.pfn = page_to_pfn(page),
			.flags = *(const unsigned long *)&page->flags,
			.raw = raw,
		};
	scan->bad++;
}

/* Check the block at @page. Returns how many pages it has. */
static unsigned long kg_scan_buddy(struct kg_scan *scan, struct page *page)
{
	unsigned long nr = 1UL << page_private(page);
	unsigned long i;

	scan->buddy_blocks++;
	scan->buddy_pages += nr;
	for (i = 0; i < nr; i++)
		kg_scan_page(scan, page + i, "buddy");
	return nr;
}

/* Check what is at @page. Returns by how many pages to go on. */
static unsigned long kg_scan_one(struct kg_scan *scan, struct page *page)
{
	if (PageBuddy(page))
		return kg_scan_buddy(scan, page);

	if (PageTail(page)) {
		scan->tails++;
		kg_scan_page(scan, page, "tail");
	} else if (PageSlab(page) && kg_slab_is_frozen()) {
		scan->slabs++;
		kg_scan_page(scan, page, "slab");
	} else if (kg_page_is_large_kmalloc(page)) {
		scan->large_kmallocs++;
		kg_scan_page(scan, page, "large kmalloc");
	}
	return 1;
}

static void kg_scan_node(struct kg_scan *scan, int nid)
{
	unsigned long pfn = node_start_pfn(nid);
	struct page *page;
	unsigned long nr;

	while (pfn < node_end_pfn(nid)) {
		page = pfn_to_online_page(pfn);
		if (!page || page_to_nid(page) != nid || PagePoisoned(page)) {
			pfn++;
			continue;
		}
		nr = kg_scan_one(scan, page);
		scan->pages += nr;
		pfn += nr;
	}
}

static int kg_scan_stopped(void *data)
{
	int nid;

	for_each_online_node(nid)
		kg_scan_node(data, nid);
	return 0;
}

static struct kg_scan kg_scan(void)
{
	struct kg_scan scan = {};

	stop_machine(kg_scan_stopped, &scan, NULL);
	return scan;
}

#endif
