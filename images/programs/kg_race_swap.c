// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap-cache lookups while what they find is deleted.
 *
 * One side swaps pages out, to a disk in memory; others use them, so that two may
 * look for the same one in the swap cache, while a write deletes it from there.
 */
#include "kg_sides.h"
#include "kg_swap.h"

#define KG_PAGES	64

static struct kg_region kg_region;

/* Wins if the page is out, and nobody has it back yet. */
static void kg_turn_out(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);

	madvise(kg_words(&kg_region, page), KG_PAGE, MADV_PAGEOUT);
	kg_score(side, kg_where(&kg_region, page) & KG_SWAPPED);
}

/* Wins if the page was out a moment ago, so that it had to be looked up. */
static void kg_turn_use(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);
	bool out = kg_where(&kg_region, page) & KG_SWAPPED;

	kg_use(&kg_region, page);
	kg_score(side, out);
}

/* Gets what is there, also while it is on its way out. */
static void kg_turn_catch(struct kg_side *side)
{
	kg_score(side, kg_catch(&kg_region, kg_any(side, KG_PAGES), 0));
}

static void swap_cache_loses_no_page(void)
{
	struct kg_side sides[] = {
		{ .name = "swaps out", .turn = kg_turn_out, .must_lose = true },
		{ .name = "uses", .turn = kg_turn_use },
		{ .name = "uses, too", .turn = kg_turn_use },
		{ .name = "gets by number", .turn = kg_turn_catch },
	};
	unsigned long out, in;

	kg_make_swap();
	kg_region = kg_make_region(KG_PAGES);
	out = kg_events("pswpout");
	in = kg_events("pswpin");
	kg_race(sides, 4);
	kg_expect_events("pswpout", out);
	kg_expect_events("pswpin", in);
	kg_expect(!swapoff(KG_DISK), "swapoff: %s", strerror(errno));
	kg_check_region(&kg_region);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-08", swap_cache_loses_no_page),
	{}
};
