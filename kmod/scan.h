/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scan of frozen_scan.h as KUnit cases use it.
 */
#ifndef KG_SCAN_H
#define KG_SCAN_H

#include <kunit/test.h>

#include "frozen_scan.h"

static void kg_scan_print(struct kunit *test, const struct kg_scan *scan)
{
	unsigned long i;

	kunit_info(test, "%lu pages: %lu in %lu free blocks, %lu tails, %lu slabs, %lu large kmallocs, %lu idle device pages; %lu not frozen\n",
		   scan->pages, scan->buddy_pages, scan->buddy_blocks,
		   scan->tails, scan->slabs, scan->large_kmallocs,
		   scan->device_pages, scan->bad);
	for (i = 0; i < min_t(unsigned long, scan->bad, KG_SCAN_OFFENDERS); i++)
		kunit_info(test, "pfn %lx (%s): raw %08x, flags %lx\n",
			   scan->offenders[i].pfn, scan->offenders[i].kind,
			   scan->offenders[i].raw, scan->offenders[i].flags);
}

/*
 * That a scan sees @page when its count is what only the other kind of kernel
 * would call frozen. There may be other offenders, of which another case tells.
 */
static inline void kg_expect_planted_is_found(struct kunit *test, struct page *page,
					      const char *kind)
{
	struct kg_scan before, planted;

	kg_set_raw(page, kg_expect.frozen);
	before = kg_scan_for(page);
	kg_set_raw(page, kg_expect.bit ? 0 : KG_FROZEN_BIT);
	planted = kg_scan_for(page);
	kg_set_raw(page, kg_expect.frozen);

	KUNIT_EXPECT_NULL(test, before.sought_is);
	KUNIT_ASSERT_NOT_NULL(test, planted.sought_is);
	KUNIT_EXPECT_STREQ(test, planted.sought_is, kind);
	if (!before.bad)
		KUNIT_EXPECT_EQ(test, planted.bad, 1UL);
}

/* What each stress ends with: all that must be frozen is, and was looked at. */
static void kg_expect_invariant(struct kunit *test)
{
	struct kg_scan scan = kg_scan();

	kg_scan_print(test, &scan);
	KUNIT_EXPECT_EQ(test, scan.bad, 0UL);
	KUNIT_EXPECT_GT(test, scan.buddy_blocks, 0UL);
	KUNIT_EXPECT_GT(test, scan.tails, 0UL);
}

#endif
