/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every test module here uses: the raw count, and how a case names itself.
 */
#ifndef KG_H
#define KG_H

#include <linux/gfp.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

/*
 * A case of the catalogue, by its id, and the function that is its claim. The
 * gate lists the cases by reading these lines, so one stands on each; the id is
 * for it alone, and checkpatch has to be told so (.checkpatch.conf).
 */
#define KG_CASE(id, claim)	KUNIT_CASE(claim)

/* The counter as it is stored, before any header gives it a meaning. */
static inline u32 kg_raw(const struct page *page)
{
	return atomic_read(&page->_refcount);
}

static inline void kg_set_raw(struct page *page, u32 raw)
{
	atomic_set(&page->_refcount, raw);
}

/* Give back a page that we own, whatever a failed claim has left in its count. */
static inline void kg_release(struct page *page, unsigned int order)
{
	kg_set_raw(page, 1);
	__free_pages(page, order);
}

static inline unsigned long kg_section_end(unsigned long pfn)
{
	return ALIGN(pfn + 1, PAGES_PER_SECTION);
}

/*
 * The first page of @nid at @pfn or after it that is online; @pfn is set to its number. What has
 * no memory is passed over in sections: memory of a device may be at the end of all addresses
 * (request_free_mem_region(), kernel/resource.c), billions of pages from the rest of its node.
 */
static inline struct page *kg_next_online(int nid, unsigned long *pfn)
{
	struct page *page;

	while (*pfn < node_end_pfn(nid)) {
		if (!online_section_nr(pfn_to_section_nr(*pfn))) {
			*pfn = kg_section_end(*pfn);
			continue;
		}
		page = pfn_to_online_page(*pfn);
		if (page && page_to_nid(page) == nid && !PagePoisoned(page))
			return page;
		(*pfn)++;
	}
	return NULL;
}

#endif
