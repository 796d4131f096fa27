// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gets on every page of a huge page while it is split.
 *
 * The pages behind the first are frozen until the split gives each a count of its
 * own; the first is frozen meanwhile. Which it is has to be seen by any get on any
 * of them, at any time.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "inode.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

#define KG_NR_PAGES	BIT(KG_SPLIT_ORDER)
/* Each has a huge page to allocate, to split and to give back page by page. */
#define KG_SPLITS	150
/* A getter comes back to the first page every so many turns. */
#define KG_FIRST_PAGE	8
/* Neighbours in time are not neighbours in memory. */
#define KG_STEP		61

static unsigned long kg_number_of(int life, unsigned long index)
{
	return life * KG_NR_PAGES + index;
}

/* Once split, each page has the reference of the page cache; the first has ours, too. */
static void kg_check_split(struct page *page)
{
	unsigned long i;

	for (i = 0; i < KG_NR_PAGES; i++) {
		int count = page_ref_count(page + i) - (i ? 1 : 2);

		if (PageTail(page + i))
			kg_violated_by(page + i, "a page is still a tail after the split");
		if (count < 0 || count >= kg_race.nr_sides)
			kg_violated_by(page + i, "a page has a wrong count after the split");
	}
}

static void kg_turn_split(struct kg_side *side)
{
	struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_NOWARN, KG_SPLIT_ORDER);
	unsigned long i;
	int error;

	if (!folio)
		return kg_lose(side);
	for (i = 0; i < KG_NR_PAGES; i++)
		kg_stamp(folio_page(folio, i), kg_number_of(kg_next_life(), i));
	if (!kg_add_to_cache(folio)) {
		folio_put(folio);
		return kg_lose(side);
	}

	kg_begin_life(&folio->page);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	error = kg_split(&folio->page);
	if (!error)
		kg_check_split(&folio->page);
	folio_unlock(folio);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 10);
	kg_end_life();
	folio_put(folio);
	truncate_inode_pages(kg_inode->i_mapping, 0);
	kg_end_life();
	if (error)
		kg_lose(side);
	else
		kg_win(side);
}

static unsigned long kg_next_index(const struct kg_side *side)
{
	if (side->turns % KG_FIRST_PAGE == 0)
		return 0;
	return side->turns * KG_STEP % KG_NR_PAGES;
}

static void kg_turn_get_any(struct kg_side *side)
{
	int life = kg_life();
	struct page *first = READ_ONCE(kg_race.published);
	unsigned long index = kg_next_index(side);
	struct page *page = first + index;
	bool got, same;

	if (!first)
		return kg_lose(side);
	got = get_page_unless_zero(page);
	/* Of a failed get nobody says that it is ordered. */
	smp_mb();
	same = kg_is_live(life) && kg_life() == life;
	if (!got) {
		/* Only the split can have frozen the first page. */
		if (same && !index)
			atomic_inc(&kg_race.events);
		return kg_lose(side);
	}

	if (PageTail(page))
		kg_violated_by(page, "a get succeeded on a tail");
	if (same && !kg_has_stamp(page, kg_number_of(life, index)))
		kg_violated_by(page, "a page with a reference has become another one");
	put_page(page);
	kg_win(side);
}

static void gets_during_split_see_frozen_or_split(struct kunit *test)
{
	unsigned long before;

	if (!kg_can_split())
		kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE: run with --config debug_vm");
	kg_race_between(test, kg_turn_split, kg_turn_get_any);
	kg_race.turns = KG_SPLITS;
	kg_race.events_wanted = KG_EVENTS;

	kg_open(test, KG_NR_PAGES * PAGE_SIZE);
	before = kg_free_pages();
	kg_race_run(test);
	kg_expect_no_leak(test, before, kg_race.sides[0].won);
	kg_close();
	kg_expect_invariant(test);
}

static struct kunit_case kg_race_split_cases[] = {
	KG_CASE("RACE-04", gets_during_split_see_frozen_or_split),
	{}
};

static struct kunit_suite kg_race_split_suite = {
	.name = "race_split",
	.test_cases = kg_race_split_cases,
};

kunit_test_suite(kg_race_split_suite);

MODULE_DESCRIPTION("KUnit: gets on every page of a huge page while it is split");
MODULE_LICENSE("GPL");
