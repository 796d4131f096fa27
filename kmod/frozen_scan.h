/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The invariant of struct page, checked over all memory that is online.
 *
 * Pages that nobody may take a reference on, and that nobody owns by count,
 * are frozen: each page of each block in the buddy allocator, the tails of
 * compound pages, slab pages and large kmalloc pages.
 *
 * So are the pages of persistent memory that no file has mapped. They are never
 * online: their zone says where they are, and their pagemap what they are for.
 *
 * The scan runs while stop_machine() holds all other CPUs at a point where they
 * could be preempted, hence outside zone->lock and every other spinlock. So
 * what it sees is a state that lasts, not the middle of a change.
 */
#ifndef KG_FROZEN_SCAN_H
#define KG_FROZEN_SCAN_H

#include <linux/kfence.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
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
	unsigned long device_pages;
	unsigned long bad;
	struct kg_offender offenders[KG_SCAN_OFFENDERS];
	/* A page that somebody wants to be told of, and its kind once it was found to offend. */
	const struct page *sought;
	const char *sought_is;
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
	if (page == scan->sought)
		scan->sought_is = kind;
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

/*
 * KFENCE has a pool of its own, taken once and for good: its pages look like slabs to
 * the slab allocator (kfence_init_pool() in mm/kfence/core.c), and count 1.
 */
static bool kg_is_kfence(const struct page *page)
{
	return is_kfence_address(page_address(page));
}

/* Check what is at @page. Returns by how many pages to go on. */
static unsigned long kg_scan_one(struct kg_scan *scan, struct page *page)
{
	if (PageBuddy(page))
		return kg_scan_buddy(scan, page);

	if (PageTail(page)) {
		scan->tails++;
		if (!kg_page_is_fake_head(page))
			kg_scan_page(scan, page, "tail");
	} else if (PageSlab(page) && kg_slab_is_frozen() && !kg_is_kfence(page)) {
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

	while ((page = kg_next_online(nid, &pfn))) {
		nr = kg_scan_one(scan, page);
		scan->pages += nr;
		pfn += nr;
	}
}

#ifdef CONFIG_ZONE_DEVICE
/*
 * Idle pages can be told of file systems only: theirs that belong to no file. Who
 * else has device pages hands them out by rules of his own.
 */
static void kg_scan_device_page(struct kg_scan *scan, struct page *page,
				const struct dev_pagemap *pgmap)
{
	if (PageTail(page)) {
		scan->tails++;
		kg_scan_page(scan, page, "device tail");
	} else if (pgmap->type == MEMORY_DEVICE_FS_DAX && kg_idle_dax_is_frozen() &&
		   !page->mapping) {
		scan->device_pages++;
		kg_scan_page(scan, page, "idle device page");
	}
}

/* The memory map may be in the device's own memory, whose first pages then are not mapped. */
static unsigned long kg_first_device_pfn(const struct dev_pagemap *pgmap)
{
	unsigned long pfn = PHYS_PFN(pgmap->range.start);

	if (pgmap->flags & PGMAP_ALTMAP_VALID)
		pfn += pgmap->altmap.reserve + pgmap->altmap.free;
	return pfn;
}

static void kg_scan_device_zone(struct kg_scan *scan, const struct zone *zone)
{
	unsigned long pfn = zone->zone_start_pfn, end;
	struct dev_pagemap *pgmap;

	for (; pfn < zone_end_pfn(zone); pfn = end) {
		/* A pagemap begins and ends with a subsection. */
		end = kg_section_end(pfn);
		if (!valid_section_nr(pfn_to_section_nr(pfn)))
			continue;
		end = ALIGN(pfn + 1, PAGES_PER_SUBSECTION);
		pgmap = kg_get_dev_pagemap(pfn);
		if (!pgmap)
			continue;
		for (pfn = max(pfn, kg_first_device_pfn(pgmap)); pfn < end; pfn++)
			kg_scan_device_page(scan, pfn_to_page(pfn), pgmap);
		put_dev_pagemap(pgmap);
	}
}

static void kg_scan_devices(struct kg_scan *scan, int nid)
{
	kg_scan_device_zone(scan, &NODE_DATA(nid)->node_zones[ZONE_DEVICE]);
}
#else
static void kg_scan_devices(struct kg_scan *scan, int nid)
{
}
#endif

static int kg_scan_stopped(void *data)
{
	int nid;

	for_each_online_node(nid) {
		kg_scan_node(data, nid);
		kg_scan_devices(data, nid);
	}
	return 0;
}

static struct kg_scan kg_scan_for(const struct page *sought)
{
	struct kg_scan scan = { .sought = sought };

	stop_machine(kg_scan_stopped, &scan, NULL);
	return scan;
}

static inline struct kg_scan kg_scan(void)
{
	return kg_scan_for(NULL);
}

#endif
