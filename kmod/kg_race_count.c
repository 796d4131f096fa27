// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of one page that change its count on several CPUs at once.
 *
 * Each takes references and gives them back, so that the count is at the end what
 * it was at the beginning: a change that is not atomic loses one of another CPU.
 * A side wins a turn in which it has met references of others, and loses one in
 * which it has seen the page without any.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

/* References that the page has throughout, so that nobody puts the last one. */
#define KG_BASE		1000
/* Changes in a turn, and turns: what they might lose is lost within few instructions. */
#define KG_CHANGES	50
#define KG_LONG		5000
/* Taken at once by those that take more than one. */
#define KG_MANY		3

static void kg_inc_and_dec(struct page *page)
{
	page_ref_inc(page);
	page_ref_dec(page);
}

static void kg_add_and_sub(struct page *page)
{
	page_ref_add(page, KG_MANY);
	page_ref_sub(page, KG_MANY);
}

static void kg_change_and_return(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (folio_ref_inc_return(folio) <= KG_BASE)
		kg_violated_by(page, "an inc returned a count without itself");
	folio_ref_add(folio, KG_MANY);
	if (folio_ref_sub_return(folio, KG_MANY) <= KG_BASE)
		kg_violated_by(page, "a sub returned a count without what is left");
	if (folio_ref_dec_return(folio) < KG_BASE)
		kg_violated_by(page, "a dec returned a count that lacks a reference");
}

static void kg_get_and_put(struct page *page)
{
	get_page(page);
	if (put_page_testzero(page))
		kg_violated_by(page, "a put was the last one, and the others still there");
}

static void kg_try_get_and_put(struct page *page)
{
	if (!get_page_unless_zero(page))
		return kg_violated_by(page, "a get failed on a page in use");
	if (page_ref_sub_and_test(page, 1))
		kg_violated_by(page, "a put was the last one, and the others still there");
}

static void (*kg_change)(struct page *page);

/* Stand back until nobody has a reference, within reason. */
static void kg_turn_watch(struct kg_side *side)
{
	int i;

	for (i = 0; i < KG_PATIENCE; i++) {
		if (kg_raw(kg_race.page) == KG_BASE)
			return kg_lose(side);
		cpu_relax();
	}
}

static void kg_turn_change(struct kg_side *side)
{
	bool met = false;
	int i;

	if (kg_is_patient(side))
		return kg_turn_watch(side);
	for (i = 0; i < KG_CHANGES; i++) {
		met |= kg_raw(kg_race.page) != KG_BASE;
		kg_change(kg_race.page);
	}
	if (met)
		kg_win(side);
}

static void kg_expect_balance(struct kunit *test, void (*change)(struct page *page))
{
	kg_race_between(test, kg_turn_change, kg_turn_change);
	kg_change = change;
	kg_race.turns = KG_LONG;
	kg_race.page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kg_race.page);
	kg_set_raw(kg_race.page, KG_BASE);

	kg_race_run(test);
	KUNIT_EXPECT_EQ(test, kg_raw(kg_race.page), (u32)KG_BASE);
	kg_release(kg_race.page, 0);
	kg_expect_invariant(test);
}

static void incs_and_decs_add_up(struct kunit *test)
{
	kg_expect_balance(test, kg_inc_and_dec);
}

static void adds_and_subs_add_up(struct kunit *test)
{
	kg_expect_balance(test, kg_add_and_sub);
}

static void changes_that_return_add_up(struct kunit *test)
{
	kg_expect_balance(test, kg_change_and_return);
}

static void gets_and_puts_add_up(struct kunit *test)
{
	kg_expect_balance(test, kg_get_and_put);
}

static void conditional_gets_and_puts_add_up(struct kunit *test)
{
	kg_expect_balance(test, kg_try_get_and_put);
}

static struct kunit_case kg_race_count_cases[] = {
	KG_CASE("RACE-14", incs_and_decs_add_up),
	KG_CASE("RACE-14", adds_and_subs_add_up),
	KG_CASE("RACE-14", changes_that_return_add_up),
	KG_CASE("RACE-14", gets_and_puts_add_up),
	KG_CASE("RACE-14", conditional_gets_and_puts_add_up),
	{}
};

static struct kunit_suite kg_race_count_suite = {
	.name = "race_count",
	.test_cases = kg_race_count_cases,
};

kunit_test_suite(kg_race_count_suite);

MODULE_DESCRIPTION("KUnit: owners that change a count at the same time");
MODULE_LICENSE("GPL");
