// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gets on blocks of pages while their owner frees them.
 *
 * A getter that still has a reference when the owner gives up its own frees what
 * is then left of the block.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

/* That of test_free_pages.c in the kernel's lib/. */
#define KG_ORDER		3
/* A cache takes 32769 references to a page; this is after one fragment was freed. */
#define KG_FRAG_COUNT		0x8000U
/* More than one page of a cache holds. */
#define KG_FRAGS		16
/* So many that to lose one page each time could not be overlooked. */
#define KG_LAST_PUTS		100

/* What a reference is worth, whatever the owner has done meanwhile. */
static void kg_check_held(struct page *page, int life)
{
	if (PageBuddy(page))
		kg_violated_by(page, "a page with a reference is in the buddy allocator");
	if (page_ref_count(page) < 1)
		kg_violated_by(page, "a page with a reference has no count");
	if (!kg_has_stamp(page, life))
		kg_violated_by(page, "a page with a reference has become another one");
}

static void kg_turn_get_and_hold(struct kg_side *side)
{
	int life = kg_life();
	struct page *page = READ_ONCE(kg_race.published);
	bool held;

	if (!page || !get_page_unless_zero(page))
		return kg_lose(side);

	kg_win(side);
	held = kg_is_live(life) && kg_life() == life;
	if (held && kg_is_patient(side))
		kg_wait_for_end(life);
	if (held)
		kg_check_held(page, life);
	if (kg_put(page) && held)
		atomic_inc(&kg_race.events);
}

/* Patient turns are of both kinds. */
static bool kg_is_odd_round(const struct kg_side *side)
{
	return side->turns / KG_PATIENT % 2;
}

/* Only the first page of a plain block has a count that a getter could raise. */
static void kg_turn_free_block(struct kg_side *side)
{
	gfp_t gfp = GFP_KERNEL | (kg_is_odd_round(side) ? __GFP_COMP : 0);
	struct page *page = alloc_pages(gfp, KG_ORDER);

	if (!page)
		return kg_lose(side);

	kg_stamp(page, kg_next_life());
	kg_begin_life(page);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	kg_end_life();
	__free_pages(page, KG_ORDER);
	kg_end_life();
	kg_win(side);
}

/* Use the page up, until the cache has to take a new one, or the same again. */
static struct page *kg_use_up(struct page_frag_cache *cache, void *first)
{
	void *frag;
	int i;

	for (i = 0; i < KG_FRAGS; i++) {
		frag = page_frag_alloc(cache, PAGE_SIZE, GFP_KERNEL);
		if (!frag)
			return NULL;
		page_frag_free(frag);
		if (frag == first || virt_to_head_page(frag) != virt_to_head_page(first))
			return virt_to_head_page(frag);
	}
	return NULL;
}

static void kg_check_used_again(struct page *page)
{
	u32 raw = kg_raw(page);

	if (raw < KG_FRAG_COUNT || raw >= KG_FRAG_COUNT + kg_race.nr_sides)
		kg_violated_by(page, "a page that its cache uses again has a wrong count");
}

/* The owner wins if its cache has the page to itself at the end, and uses it again. */
static void kg_turn_use_frags(struct kg_side *side)
{
	struct page_frag_cache cache = {};
	void *frag = page_frag_alloc(&cache, PAGE_SIZE, GFP_KERNEL);
	struct page *page, *next;

	if (!frag)
		return kg_lose(side);

	page = virt_to_head_page(frag);
	kg_stamp(page, kg_next_life());
	kg_begin_life(page);
	page_frag_free(frag);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	kg_end_life();
	next = kg_is_odd_round(side) ? NULL : kg_use_up(&cache, frag);
	if (next == page) {
		kg_check_used_again(page);
		kg_win(side);
	} else if (next) {
		kg_lose(side);
	}
	kg_page_frag_cache_drain(&cache);
	kg_end_life();
}

static void kg_race_to_free(struct kunit *test, void (*owner)(struct kg_side *side))
{
	unsigned long before;

	kg_race_between(test, owner, kg_turn_get_and_hold);
	kg_race.events_wanted = KG_LAST_PUTS;
	before = kg_free_pages();
	kg_race_run(test);
	kg_expect_no_leak(test, before, atomic_read(&kg_race.events) / 2);
	/* Some lifetimes were ended by the owner itself. */
	KUNIT_EXPECT_LT(test, atomic_read(&kg_race.events), kg_life() / 3);
	kg_expect_invariant(test);
}

static void blocks_freed_under_a_get_lose_no_page(struct kunit *test)
{
	kg_race_to_free(test, kg_turn_free_block);
}

static void fragments_freed_under_a_get_lose_no_page(struct kunit *test)
{
	kg_race_to_free(test, kg_turn_use_frags);
	KUNIT_EXPECT_GT_MSG(test, kg_race.sides[0].lost, 0UL,
			    "no getter ever kept a page from its cache");
}

static struct kunit_case kg_race_free_cases[] = {
	KG_CASE("RACE-07", blocks_freed_under_a_get_lose_no_page),
	KG_CASE("RACE-11", fragments_freed_under_a_get_lose_no_page),
	{}
};

static struct kunit_suite kg_race_free_suite = {
	.name = "race_free",
	.test_cases = kg_race_free_cases,
};

kunit_test_suite(kg_race_free_suite);

MODULE_DESCRIPTION("KUnit: gets on blocks of pages while they are freed");
MODULE_LICENSE("GPL");
