// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lookups in the page cache while what they find is removed from it.
 *
 * A lookup reads the entry under RCU, gets a reference and looks whether the entry
 * is still the same. So what it returns was in the cache while it looked, and does
 * not change as long as the reference is held; each page has a number written into
 * it to tell.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "inode.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

/* So many that to lose one page each time could not be overlooked. */
#define KG_LAST_PUTS	100

static long kg_number_in(struct folio *folio)
{
	return READ_ONCE(*(long *)folio_address(folio));
}

static void kg_turn_look_up(struct kg_side *side)
{
	long number, before = kg_life();
	struct folio *folio = filemap_get_folio(kg_inode->i_mapping, 0);

	if (IS_ERR_OR_NULL(folio))
		return kg_lose(side);

	kg_win(side);
	number = kg_number_in(folio);
	/* The page may have been one that was just being removed. */
	if (number < before - 1 || number > kg_life())
		kg_violated_by(&folio->page, "a lookup found what was not there");
	if (kg_is_patient(side))
		kg_wait_for_end(number);
	if (!kg_has_stamp(&folio->page, number))
		kg_violated_by(&folio->page, "a page with a reference has become another one");
	if (folio_ref_count(folio) < 1)
		kg_violated_by(&folio->page, "a page with a reference has no count");
	if (kg_put(&folio->page))
		atomic_inc(&kg_race.events);
}

/* A new page with its number, in the cache, which has the only reference. */
static bool kg_fill(void)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	bool added;

	if (!folio)
		return false;
	kg_stamp(&folio->page, kg_next_life());
	kg_begin_life(&folio->page);
	added = kg_add_to_cache(folio);
	if (added)
		folio_unlock(folio);
	folio_put(folio);
	return added;
}

/* Does not look at the count: whoever still has a reference frees the page. */
static bool kg_truncate(void)
{
	truncate_inode_pages(kg_inode->i_mapping, 0);
	return true;
}

/* As reclaim does it: freezes the count, which only works if nobody has a reference. */
static bool kg_reclaim(void)
{
	bool reclaimed = invalidate_mapping_pages(kg_inode->i_mapping, 0, 0);

	truncate_inode_pages(kg_inode->i_mapping, 0);
	return reclaimed;
}

static void kg_turn_remove(struct kg_side *side, bool (*remove)(void))
{
	bool filled = kg_fill(), removed;

	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	kg_end_life();
	removed = remove();
	kg_end_life();
	if (filled && removed)
		kg_win(side);
	else
		kg_lose(side);
}

static void kg_turn_truncate(struct kg_side *side)
{
	kg_turn_remove(side, kg_truncate);
}

static void kg_turn_reclaim(struct kg_side *side)
{
	kg_turn_remove(side, kg_reclaim);
}

static void kg_race_lookups(struct kunit *test, void (*owner)(struct kg_side *side))
{
	unsigned long before;

	kg_race_between(test, owner, kg_turn_look_up);
	kg_race.events_wanted = KG_LAST_PUTS;

	kg_open(test, PAGE_SIZE);
	before = kg_free_pages();
	kg_race_run(test);
	kg_expect_no_leak(test, before, atomic_read(&kg_race.events) / 2);
	kg_close();
	kg_expect_invariant(test);
}

static void lookups_find_nothing_that_truncation_has_freed(struct kunit *test)
{
	kg_race_lookups(test, kg_turn_truncate);
}

static void lookups_find_nothing_that_reclaim_has_freed(struct kunit *test)
{
	kg_race_lookups(test, kg_turn_reclaim);
	KUNIT_EXPECT_GT_MSG(test, kg_race.sides[0].lost, 0UL,
			    "no getter ever kept a page from being reclaimed");
}

static struct kunit_case kg_race_cache_cases[] = {
	KG_CASE("RACE-05", lookups_find_nothing_that_truncation_has_freed),
	KG_CASE("RACE-05", lookups_find_nothing_that_reclaim_has_freed),
	{}
};

static struct kunit_suite kg_race_cache_suite = {
	.name = "race_cache",
	.test_cases = kg_race_cache_cases,
};

kunit_test_suite(kg_race_cache_suite);

MODULE_DESCRIPTION("KUnit: lookups in the page cache while it is truncated or reclaimed");
MODULE_LICENSE("GPL");
