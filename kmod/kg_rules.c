// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the authors of the frozen bit have said must hold, over all of memory.
 *
 * "Getter functions must still return 0 for frozen pages"; "pages in the buddy
 * allocator are considered frozen"; zero is "only possible as middle state during
 * dec_and_test". That only owned pages may be changed, and that nothing else may
 * drop a count to zero, are the crash triggers D-* and G-*.
 *
 * Memory is looked at while stop_machine() holds all other CPUs outside every
 * spinlock, the zones' among them.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/stop_machine.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

#define KG_FREE_PAGES		256

/* What a look at each online page is after, and what it found. */
struct kg_look {
	void (*at)(struct kg_look *look, struct page *page);
	unsigned long pages;
	unsigned long met;
	unsigned long bad;
	/* The first bad one. */
	unsigned long pfn;
	u32 raw;
};

static void kg_look_at_node(struct kg_look *look, int nid)
{
	struct page *page;
	unsigned long pfn = node_start_pfn(nid);

	for (; (page = kg_next_online(nid, &pfn)); pfn++) {
		look->pages++;
		look->at(look, page);
	}
}

static int kg_look_stopped(void *data)
{
	int nid;

	for_each_online_node(nid)
		kg_look_at_node(data, nid);
	return 0;
}

static struct kg_look kg_look(struct kunit *test,
			      void (*at)(struct kg_look *look, struct page *page))
{
	struct kg_look look = { .at = at };

	stop_machine(kg_look_stopped, &look, NULL);
	kunit_info(test, "%lu pages, %lu of that kind, %lu bad\n", look.pages, look.met,
		   look.bad);
	return look;
}

static void kg_found_bad(struct kg_look *look, const struct page *page)
{
	if (look->bad++)
		return;
	look->pfn = page_to_pfn(page);
	look->raw = kg_raw(page);
}

/* Through the folio only for one that has no head elsewhere. */
static void kg_count_of(struct kg_look *look, struct page *page)
{
	int wanted = kg_count(kg_raw(page));

	look->met += kg_is_frozen(kg_raw(page));
	if (page_ref_count(page) != wanted ||
	    (!PageTail(page) && page_count(page) != wanted))
		kg_found_bad(look, page);
}

static void every_frozen_page_counts_zero(struct kunit *test)
{
	struct kg_look look = kg_look(test, kg_count_of);

	KUNIT_EXPECT_EQ_MSG(test, look.bad, 0UL, "the first: pfn %lx, raw %08x", look.pfn,
			    look.raw);
	KUNIT_EXPECT_GT(test, look.met, 1000UL);
}

/* A get that succeeds is undone: the page is as it was before. */
static void kg_get_of_free(struct kg_look *look, struct page *page)
{
	unsigned long i, nr;
	u32 raw;

	if (!PageBuddy(page))
		return;
	nr = 1UL << page_private(page);
	for (i = 0; i < nr; i++, page++) {
		raw = kg_raw(page);
		look->met++;
		if (!get_page_unless_zero(page) && kg_is_frozen(kg_raw(page)))
			continue;
		kg_set_raw(page, raw);
		kg_found_bad(look, page);
	}
}

/* Whatever failed gets have left in free pages: allocated, they have one owner. */
static void kg_expect_one_owner_each(struct kunit *test)
{
	static struct page *pages[KG_FREE_PAGES];
	int i;

	for (i = 0; i < KG_FREE_PAGES; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		KUNIT_EXPECT_EQ(test, kg_raw(pages[i]), 1U);
	}
	for (i = 0; i < KG_FREE_PAGES; i++)
		__free_page(pages[i]);
}

static void free_pages_refuse_gets(struct kunit *test)
{
	struct kg_look look = kg_look(test, kg_get_of_free);

	KUNIT_EXPECT_EQ_MSG(test, look.bad, 0UL, "the first: pfn %lx, raw %08x", look.pfn,
			    look.raw);
	KUNIT_EXPECT_GT(test, look.met, 1000UL);
	kg_expect_one_owner_each(test);
}

static void kg_zero_of(struct kg_look *look, struct page *page)
{
	look->met++;
	if (kg_raw(page) == 0)
		kg_found_bad(look, page);
}

/*
 * A task may have been stopped between the two steps of a last put; it is not there
 * any more the next time. A page that is left at zero still is.
 */
static void no_page_is_left_at_zero(struct kunit *test)
{
	struct kg_look look;
	int i;

	if (!kg_expect.bit)
		kunit_skip(test, "zero is what frozen pages have: run with --series frozen-bit-v4");
	for (i = 0; i < 3; i++) {
		look = kg_look(test, kg_zero_of);
		if (!look.bad)
			break;
		msleep(50);
	}
	KUNIT_EXPECT_EQ_MSG(test, look.bad, 0UL, "the first: pfn %lx, raw %08x", look.pfn,
			    look.raw);
	KUNIT_EXPECT_GT(test, look.met, 1000UL);
}

static struct kunit_case kg_rules_cases[] = {
	KG_CASE("RULE-01", every_frozen_page_counts_zero),
	KG_CASE("RULE-04", free_pages_refuse_gets),
	KG_CASE("RULE-05", no_page_is_left_at_zero),
	{}
};

static struct kunit_suite kg_rules_suite = {
	.name = "rules",
	.test_cases = kg_rules_cases,
};

kunit_test_suite(kg_rules_suite);

MODULE_DESCRIPTION("KUnit: the rules of the frozen bit, over all of memory");
MODULE_LICENSE("GPL");
