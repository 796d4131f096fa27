// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are moved while they are used, with frozen pages in the way.
 *
 * Moving freezes a page, copies it, and hands its references over. Meanwhile others
 * write to it and get it by its number; huge pages come and go, which are frozen as
 * long as they are in the pool, and so are the slabs that compaction meets.
 */
#include "kg_hugetlb.h"
#include "kg_nodes.h"
#include "kg_sides.h"

#define KG_PAGES	64
#define KG_FROZEN	4

static struct kg_region kg_region;

static void kg_turn_move(struct kg_side *side)
{
	kg_score(side, kg_move(kg_words(&kg_region, kg_any(side, KG_PAGES))));
}

static void kg_turn_use(struct kg_side *side)
{
	kg_use(&kg_region, kg_any(side, KG_PAGES));
	kg_score(side, true);
	/* It would hardly let anybody else on its CPU. */
	if (!kg_any(side, KG_PAGES))
		sched_yield();
}

/* Now and then it comes too late, else as early as it can. */
static void kg_turn_catch(struct kg_side *side)
{
	useconds_t pause = side->turns % 2 ? 1000 : 0;

	kg_score(side, kg_catch(&kg_region, kg_any(side, KG_PAGES), pause));
}

static void kg_turn_compact(struct kg_side *side)
{
	bool frozen = !kg_try_write(KG_POOL "nr_hugepages", KG_FROZEN);
	bool compacted = !kg_try_write("/proc/sys/vm/compact_memory", 1);

	kg_try_write(KG_POOL "nr_hugepages", 0);
	kg_score(side, frozen && compacted);
}

static void pages_are_moved_while_they_are_used(void)
{
	struct kg_side sides[] = {
		{ .name = "moves", .turn = kg_turn_move },
		{ .name = "uses", .turn = kg_turn_use },
		{ .name = "compacts", .turn = kg_turn_compact },
		{ .name = "gets by number", .turn = kg_turn_catch, .must_lose = true },
	};
	unsigned long moved, scanned, isolated;

	kg_need_two_nodes();
	kg_region = kg_make_region(KG_PAGES);
	moved = kg_events("pgmigrate_success");
	scanned = kg_events("compact_migrate_scanned");
	isolated = kg_events("compact_isolated");
	kg_race(sides, 4);
	kg_expect_events("pgmigrate_success", moved);
	kg_expect_events("compact_migrate_scanned", scanned);
	kg_expect_events("compact_isolated", isolated);
	kg_check_region(&kg_region);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-06", pages_are_moved_while_they_are_used),
	{}
};
