// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are merged while they are moved, written to and got by their number.
 *
 * ksmd knows a merged page by its number and gets it when it wants to add to it; by
 * then it may have been moved, or given up, and freed.
 */
#include "kg_nodes.h"
#include "kg_sides.h"

#define KG_KSM		"/sys/kernel/mm/ksm/"
#define KG_PAGES	64
#define KG_KINDS	4
#define KG_IS_MERGED	KG_BIT(21)
/* What a page holds while it is not to be merged. */
#define KG_ODD		KG_BIT(40)

static struct kg_region kg_region;

static unsigned long kg_kind(unsigned long page)
{
	return 0x5a5a0000 + page % KG_KINDS;
}

/* Each is written to by one side only. */
static void kg_check(unsigned long page)
{
	unsigned long word = __atomic_load_n(kg_words(&kg_region, page), __ATOMIC_RELAXED);

	if (word != kg_kind(page))
		kg_violated("page %lu holds %lx", page, word);
}

static bool kg_is_merged(unsigned long page)
{
	unsigned long long where = kg_where(&kg_region, page);

	return where & KG_PRESENT && kg_flags(KG_PFN(where)) & KG_IS_MERGED;
}

/* Wins if the page was a merged one, so that the write has to copy it. */
static void kg_turn_write(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);
	unsigned long *words = kg_words(&kg_region, page);
	bool merged = kg_is_merged(page);

	kg_check(page);
	__atomic_store_n(words, KG_ODD + side->turns, __ATOMIC_RELAXED);
	if (__atomic_load_n(words, __ATOMIC_RELAXED) != KG_ODD + side->turns)
		kg_violated("page %lu was written for nothing", page);
	__atomic_store_n(words, kg_kind(page), __ATOMIC_RELAXED);
	kg_score(side, merged);
	/* So that there is something to merge, and time to do it. */
	usleep(1000);
}

/* Wins if it was a merged page that is moved now. */
static void kg_turn_move(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);
	bool merged = kg_is_merged(page);
	int i;

	/* A move is dear; look for one that is worth it. */
	for (i = 0; i < KG_PAGES && !merged; i++) {
		page = (page + 1) % KG_PAGES;
		merged = kg_is_merged(page);
	}
	kg_score(side, kg_move(kg_words(&kg_region, page)) && merged);
}

static void kg_turn_catch(struct kg_side *side)
{
	kg_score(side, kg_catch(&kg_region, kg_any(side, KG_PAGES), 0));
}

static void kg_merge(void)
{
	unsigned long page;

	for (page = 0; page < KG_PAGES; page++)
		kg_words(&kg_region, page)[0] = kg_kind(page);
	kg_require(!madvise(kg_region.map, KG_PAGES * KG_PAGE, MADV_MERGEABLE),
		   "madvise: %s", strerror(errno));
	kg_write(KG_KSM "sleep_millisecs", 0);
	kg_write(KG_KSM "pages_to_scan", KG_PAGES);
	kg_write(KG_KSM "run", 1);
}

/* All pages are their own again. */
static void kg_unmerge(void)
{
	unsigned long page;

	kg_write(KG_KSM "run", 2);
	kg_expect(!kg_read(KG_KSM "pages_shared"), "%lu merged pages are left",
		  kg_read(KG_KSM "pages_shared"));
	for (page = 0; page < KG_PAGES; page++) {
		kg_check(page);
		kg_words(&kg_region, page)[0] = (uintptr_t)kg_words(&kg_region, page);
	}
	kg_expect(!kg_is_violated, "%s", kg_violation);
}

static void merged_pages_are_moved_and_written_to(void)
{
	struct kg_side sides[] = {
		{ .name = "writes", .turn = kg_turn_write, .must_lose = true },
		{ .name = "moves", .turn = kg_turn_move },
		{ .name = "gets by number", .turn = kg_turn_catch },
	};
	unsigned long copied, moved;

	if (access(KG_KSM "run", W_OK))
		kg_skip("nothing is merged: a kernel with CONFIG_KSM");
	kg_need_two_nodes();
	kg_region = kg_make_region(KG_PAGES);
	copied = kg_events("cow_ksm");
	moved = kg_events("pgmigrate_success");
	kg_merge();
	kg_race(sides, 3);
	kg_expect_events("cow_ksm", copied);
	kg_expect_events("pgmigrate_success", moved);
	kg_note("%lu full scans", kg_read(KG_KSM "full_scans"));
	kg_unmerge();
	kg_check_region(&kg_region);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-09", merged_pages_are_moved_and_written_to),
	{}
};
