/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking all memory of a node away, and giving it back.
 *
 * Only its free pages: nothing is reclaimed for it, and kswapd is not woken. Blocks are
 * taken from large to small, and remembered by their struct pages.
 */
#ifndef KG_HOARD_H
#define KG_HOARD_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

#include "compat.h"
#include "symbols.h"

/* Down to the watermark below which only the privileged get anything; to the last page. */
enum kg_hoard_depth { KG_TO_MIN, KG_TO_NOTHING };

/* Free pages that the CPUs keep by them go back to where they are counted as free. */
static inline void kg_drain_all(void)
{
	void (*drain_all_pages)(struct zone *zone) = kg_lookup("drain_all_pages");

	if (drain_all_pages)
		drain_all_pages(NULL);
}

static inline void kg_hoard_order(struct list_head *hoard, int nid, gfp_t gfp, unsigned int order)
{
	struct page *page;

	while ((page = alloc_pages_node(nid, gfp, order))) {
		set_page_private(page, order);
		list_add(&page->lru, hoard);
	}
}

/*
 * Take what @nid has in blocks of order @most and less; again, for what lay in lists of single
 * CPUs by then.
 */
static inline void kg_hoard_from(struct list_head *hoard, int nid, enum kg_hoard_depth depth,
				 int most)
{
	gfp_t gfp = __GFP_THISNODE | __GFP_NOWARN | (depth == KG_TO_NOTHING ? __GFP_MEMALLOC : 0);
	int order, round;

	for (round = 0; round < 3; round++) {
		kg_drain_all();
		for (order = most; order >= 0; order--)
			kg_hoard_order(hoard, nid, gfp, order);
	}
}

static inline void kg_hoard(struct list_head *hoard, int nid, enum kg_hoard_depth depth)
{
	kg_hoard_from(hoard, nid, depth, KG_MAX_ORDER);
}

/* Give back @pages pages or some more, at most all; first what was taken first: large blocks. */
static inline unsigned long kg_give_back(struct list_head *hoard, unsigned long pages)
{
	unsigned long given = 0;
	unsigned int order;
	struct page *page;

	while (given < pages && !list_empty(hoard)) {
		page = list_last_entry(hoard, struct page, lru);
		list_del(&page->lru);
		order = page_private(page);
		set_page_private(page, 0);
		__free_pages(page, order);
		given += 1UL << order;
	}
	return given;
}

static inline void kg_give_all_back(struct list_head *hoard)
{
	kg_give_back(hoard, ULONG_MAX);
}

#endif
