// SPDX-License-Identifier: GPL-2.0-only
/*
 * The invariant of struct page: what nobody may reference is frozen.
 *
 * A conversion that a series forgot shows here, whatever path it is on: the
 * page ends up free, or a tail, or a slab, with the wrong raw count.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"

#define KG_CHURN_ROUNDS		20
#define KG_CHURN_PAGES		32

static void all_pages_without_owner_are_frozen(struct kunit *test)
{
	/* More than two pages: a large kmalloc, so that there surely is one. */
	void *large = kunit_kmalloc(test, SZ_64K, GFP_KERNEL);
	struct kg_scan scan;

	KUNIT_ASSERT_NOT_NULL(test, large);
	scan = kg_scan();

	kg_scan_print(test, &scan);
	KUNIT_EXPECT_EQ(test, scan.bad, 0UL);
	KUNIT_EXPECT_GT(test, scan.buddy_blocks, 0UL);
	KUNIT_EXPECT_GE(test, scan.buddy_pages, scan.buddy_blocks);
	KUNIT_EXPECT_GT(test, scan.tails, 0UL);
	KUNIT_EXPECT_EQ(test, scan.slabs > 0, kg_slab_is_frozen());
	KUNIT_EXPECT_EQ(test, scan.large_kmallocs > 0, kg_has_large_kmalloc());
}

/* Without this, a scan that looks at nothing would please everybody. */
static void scan_finds_a_planted_offender(struct kunit *test)
{
	struct page *head = alloc_pages(GFP_KERNEL | __GFP_COMP, 2);

	KUNIT_ASSERT_NOT_NULL(test, head);
	kg_expect_planted_is_found(test, head + 3, "tail");
	kg_release(head, 2);
}

static void scan_sees_all_memory_of_every_node(struct kunit *test)
{
	struct kg_scan scan = kg_scan();
	unsigned long present = 0;
	int nid;

	for_each_online_node(nid)
		present += node_present_pages(nid);
	KUNIT_EXPECT_GE(test, scan.pages, present);
}

static void kg_churn_order(struct kunit *test, gfp_t gfp, unsigned int order)
{
	struct page *pages[KG_CHURN_PAGES];
	int nr = 0;

	while (nr < KG_CHURN_PAGES) {
		pages[nr] = alloc_pages(gfp | __GFP_NOWARN | __GFP_NORETRY, order);
		if (!pages[nr])
			break;
		nr++;
	}
	KUNIT_EXPECT_GT(test, nr, 0);
	while (nr--)
		__free_pages(pages[nr], order);
}

/* Blocks split, merged, passed through the per-CPU lists, made compound. */
static void holds_after_allocations_of_every_order(struct kunit *test)
{
	unsigned int order;
	int round;

	for (round = 0; round < KG_CHURN_ROUNDS; round++) {
		for (order = 0; order <= 6; order++) {
			kg_churn_order(test, GFP_KERNEL, order);
			kg_churn_order(test, GFP_KERNEL | __GFP_COMP, order);
		}
		cond_resched();
	}
	kg_expect_invariant(test);
}

static void holds_after_pages_are_split(struct kunit *test)
{
	struct page *page;
	int round, i;

	for (round = 0; round < KG_CHURN_ROUNDS; round++) {
		page = alloc_pages(GFP_KERNEL, 4);
		KUNIT_ASSERT_NOT_NULL(test, page);
		split_page(page, 4);
		for (i = 0; i < 16; i++) {
			KUNIT_EXPECT_EQ(test, kg_raw(page + i), 1U);
			__free_page(page + i);
		}
	}
	kg_expect_invariant(test);
}

/* A get on a page that was free a moment ago, as every lockless lookup does. */
static void holds_after_gets_on_pages_just_freed(struct kunit *test)
{
	struct page *page;
	int round, won = 0;

	for (round = 0; round < 1000; round++) {
		page = alloc_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, page);
		__free_page(page);
		if (get_page_unless_zero(page)) {
			/* Somebody else has it by now, and we are a guest. */
			put_page(page);
			won++;
		}
	}
	/* Nobody takes pages at such a rate on an idle machine. */
	KUNIT_EXPECT_LT(test, won, 500);
	kg_expect_invariant(test);
}

static struct kunit_case kg_invariant_cases[] = {
	KG_CASE("INV-01", all_pages_without_owner_are_frozen),
	KG_CASE("INV-01", scan_finds_a_planted_offender),
	KG_CASE("INV-01", scan_sees_all_memory_of_every_node),
	KG_CASE("INV-02", holds_after_allocations_of_every_order),
	KG_CASE("INV-02", holds_after_pages_are_split),
	KG_CASE("INV-02", holds_after_gets_on_pages_just_freed),
	{}
};

static struct kunit_suite kg_invariant_suite = {
	.name = "invariant",
	.test_cases = kg_invariant_cases,
};

kunit_test_suite(kg_invariant_suite);

MODULE_DESCRIPTION("KUnit: what nobody may reference is frozen");
MODULE_LICENSE("GPL");
