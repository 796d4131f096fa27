// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gets against freezing, freeing and overflow, on several CPUs at once.
 *
 * What a race is, and when it has shown something, is in race.h. Each ends with
 * the balance of its count and with a scan of all memory.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

static void kg_violated(const char *what)
{
	kg_violated_by(kg_race.page, what);
}

static void kg_turn_freeze(struct kg_side *side)
{
	if (!page_ref_freeze(kg_race.page, 1))
		return kg_lose(side);

	atomic_set(&kg_race.closed, 1);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_lost_by_getters, 2);
	if (page_ref_count(kg_race.page) != 0)
		kg_violated("a frozen page has a count");
	atomic_set(&kg_race.closed, 0);
	page_ref_unfreeze(kg_race.page, 1);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 2);
	kg_win(side);
}

/* Getters that take turns without a pause could hold the page open for ever. */
static void kg_wait_until_closed(void)
{
	int i;

	for (i = 0; i < KG_PATIENCE && !atomic_read(&kg_race.closed); i++)
		cpu_relax();
}

/* While the owner's reference is there, a getter never has the last one. */
static void kg_turn_get(struct kg_side *side)
{
	if (!get_page_unless_zero(kg_race.page))
		return kg_lose(side);

	if (atomic_read(&kg_race.closed))
		kg_violated("a get succeeded on a frozen page");
	if (page_ref_count(kg_race.page) < 2)
		kg_violated("a get was forgotten");
	if (put_page_testzero(kg_race.page))
		kg_violated("a put was the last one, and the owner still there");
	kg_win(side);
}

/* Was this reference the last one? Then the page is free. */
static bool kg_put_and_free(struct kg_side *side)
{
	if (!put_page_testzero(kg_race.page))
		return false;
	if (atomic_xchg(&kg_race.closed, 1))
		kg_violated("freed twice");
	side->freed++;
	return true;
}

/* The page is free; take it, use it, give it up. */
static void kg_turn_live_and_free(struct kg_side *side)
{
	if (atomic_cmpxchg(&kg_race.closed, 1, 0) != 1)
		return kg_lose(side);

	page_ref_unfreeze(kg_race.page, 1);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	kg_put_and_free(side);
	kg_win(side);
}

/* Hold the reference until it is the only one, within reason. */
static void kg_wait_to_be_last(void)
{
	int i;

	for (i = 0; i < KG_PATIENCE && page_ref_count(kg_race.page) > 1; i++)
		cpu_relax();
}

static void kg_turn_get_and_free(struct kg_side *side)
{
	if (!get_page_unless_zero(kg_race.page))
		return kg_lose(side);

	kg_win(side);
	if (kg_is_patient(side))
		kg_wait_to_be_last();
	if (atomic_read(&kg_race.closed))
		kg_violated("a page with a reference is free");
	if (kg_put_and_free(side))
		atomic_inc(&kg_race.events);
	kg_wait_until_closed();
}

/* The page that getters of real pages look at; it may be anybody's by then. */
static struct page *kg_published;

static void kg_turn_alloc_and_put(struct kg_side *side)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return kg_lose(side);

	WRITE_ONCE(kg_published, page);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	if (page_ref_count(page) < 1)
		kg_violated("a page just allocated has no count");
	put_page(page);
	kg_win(side);
}

static void kg_turn_get_stale(struct kg_side *side)
{
	struct page *page = READ_ONCE(kg_published);

	if (!page || !get_page_unless_zero(page))
		return kg_lose(side);

	if (page_ref_count(page) < 1)
		kg_violated("a page with a reference has no count");
	put_page(page);
	kg_win(side);
}

/* Just below the limit, and just below the wrap to 0. */
static u32 kg_near_overflow(const struct kg_side *side)
{
	return side->won % 2 ? 0xFFFFFFFFU - 2 * KG_MAX_SIDES : KG_FROZEN_LIMIT - 10;
}

static void kg_turn_freeze_near_overflow(struct kg_side *side)
{
	u32 preset = kg_near_overflow(side);
	u32 raw;

	if (!page_ref_freeze(kg_race.page, 1))
		return kg_lose(side);

	atomic_set(&kg_race.closed, 1);
	if (kg_expect.bit)
		kg_set_raw(kg_race.page, preset);
	kg_wait_for_getters(kg_lost_by_getters, 20);
	raw = kg_raw(kg_race.page);
	if (!kg_is_frozen(raw))
		kg_violated("failed gets have unfrozen the page");
	if (kg_expect.bit && raw < preset)
		atomic_inc(&kg_race.events);

	atomic_set(&kg_race.closed, 0);
	page_ref_unfreeze(kg_race.page, 1);
	raw = kg_raw(kg_race.page);
	if (raw < 1 || raw > kg_race.nr_sides)
		kg_violated("an unfreeze was lost");
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 2);
	kg_win(side);
}

/* Skip, or set up a page of ours and who does what. */
static void kg_race_prepare(struct kunit *test, void (*owner)(struct kg_side *side),
			    void (*getter)(struct kg_side *side))
{
	kg_race_between(test, owner, getter);
	kg_race.page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kg_race.page);
}

static void kg_race_end(struct kunit *test)
{
	kg_release(kg_race.page, 0);
	kg_expect_invariant(test);
}

static void gets_and_freezes_exclude_each_other(struct kunit *test)
{
	kg_race_prepare(test, kg_turn_freeze, kg_turn_get);
	kg_race_run(test);
	KUNIT_EXPECT_EQ(test, kg_raw(kg_race.page), 1U);
	kg_race_end(test);
}

static void every_lifetime_is_freed_once(struct kunit *test)
{
	unsigned long freed = 0;
	int i;

	kg_race_prepare(test, kg_turn_live_and_free, kg_turn_get_and_free);
	kg_race.events_wanted = KG_EVENTS;
	atomic_set(&kg_race.closed, 1);
	kg_set_raw(kg_race.page, kg_expect.frozen);
	kg_race_run(test);

	for (i = 0; i < kg_race.nr_sides; i++)
		freed += kg_race.sides[i].freed;
	/* The owner's wins are the lifetimes. */
	KUNIT_EXPECT_EQ(test, kg_race.sides[0].won, freed);
	KUNIT_EXPECT_EQ(test, atomic_read(&kg_race.closed), 1);
	KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(kg_race.page)));
	kg_race_end(test);
}

static void stale_gets_lose_no_page(struct kunit *test)
{
	unsigned long before;

	kg_race_prepare(test, kg_turn_alloc_and_put, kg_turn_get_stale);
	before = kg_free_pages();
	kg_race_run(test);
	kg_expect_no_leak(test, before, kg_race.sides[0].won / 4);
	kg_race_end(test);
}

/* Is the count reset at the limit? A get that looks first never gets there. */
static bool kg_limit_resets(void)
{
	bool resets;

	kg_set_raw(kg_race.page, KG_FROZEN_LIMIT - 1);
	resets = !get_page_unless_zero(kg_race.page) && kg_raw(kg_race.page) == KG_FROZEN_BIT;
	kg_set_raw(kg_race.page, 1);
	return resets;
}

static void failed_gets_never_unfreeze_by_overflow(struct kunit *test)
{
	kg_race_prepare(test, kg_turn_freeze_near_overflow, kg_turn_get);
	kg_race.events_wanted = kg_limit_resets() ? KG_EVENTS : 0;
	kg_race_run(test);
	KUNIT_EXPECT_EQ(test, kg_raw(kg_race.page), 1U);
	kg_race_end(test);
}

static struct kunit_case kg_race_cases[] = {
	KG_CASE("RACE-01", gets_and_freezes_exclude_each_other),
	KG_CASE("RACE-02", every_lifetime_is_freed_once),
	KG_CASE("RACE-02", stale_gets_lose_no_page),
	KG_CASE("RACE-03", failed_gets_never_unfreeze_by_overflow),
	{}
};

static struct kunit_suite kg_race_suite = {
	.name = "race",
	.test_cases = kg_race_cases,
};

kunit_test_suite(kg_race_suite);

MODULE_DESCRIPTION("KUnit: gets against freezing, freeing and overflow");
MODULE_LICENSE("GPL");
