// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways through the page allocator that are not the first attempt, each forced: what
 * comes out of it is as it always is, with one reference, or frozen.
 *
 * A node is emptied for that. Which way a page came is known by what else could not have
 * given one: the node has less than the other attempts leave alone, or nothing at all,
 * and whoever gives memory back in between is ours, and counts how often he was asked.
 *
 * Direct compaction needs pages that move: images/programs/kg_compaction.c.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/jump_label.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/vmstat.h>

#include "compat.h"
#include "expect.h"
#include "frozen.h"
#include "hoard.h"
#include "kg.h"
#include "scan.h"

#define KG_BULK		32
#define KG_TRIES	10
/* The smallest order that no CPU keeps by it. */
#define KG_BESIDE_LISTS	(PAGE_ALLOC_COSTLY_ORDER + 1)
/* Enough for every watermark of a node of 256 MiB. */
#define KG_RELIEF	1024
/* May reclaim, and wakes nobody who would reclaim behind our back. */
#define KG_RECLAIM	(__GFP_DIRECT_RECLAIM | __GFP_IO | __GFP_FS | __GFP_NOWARN)
/* Takes what is there and asks nobody for more. */
#define KG_NOWAIT	((__force gfp_t)__GFP_NOWARN)

static LIST_HEAD(kg_hoarded);
static struct task_struct *kg_asker;
static int kg_asked;
static struct shrinker *kg_shrinker;
static bool kg_notified;
static struct static_key *kg_cpuset_keys[2];

/* The node that a case empties: not the only one. */
static int kg_need_second_node(struct kunit *test, bool frozen)
{
	if (num_node_state(N_MEMORY) < 2)
		kunit_skip(test, "needs two nodes with memory: run on --machine smp4-numa2");
	if (frozen)
		kg_need_frozen_alloc(test);
	return next_node(first_node(node_states[N_MEMORY]), node_states[N_MEMORY]);
}

/* The only zone of @nid that has memory. */
static struct zone *kg_zone_of(struct kunit *test, int nid)
{
	struct zone *zone, *found = NULL;
	int i, zones = 0;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		zone = &NODE_DATA(nid)->node_zones[i];
		if (!managed_zone(zone))
			continue;
		found = zone;
		zones++;
	}
	KUNIT_ASSERT_EQ(test, zones, 1);
	return found;
}

static struct page *kg_take(bool frozen, int nid, gfp_t gfp, unsigned int order)
{
	return frozen ? kg_alloc_frozen_on(nid, gfp, order) : alloc_pages_node(nid, gfp, order);
}

/* Check that @page came, from @nid, with one reference or frozen as asked for; give it back. */
static void kg_check(struct kunit *test, struct page *page, bool frozen, int nid,
		     unsigned int order)
{
	KUNIT_EXPECT_NOT_NULL(test, page);
	if (!page)
		return;
	KUNIT_EXPECT_EQ(test, page_to_nid(page), nid);
	if (!frozen) {
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		kg_release(page, order);
		return;
	}
	KUNIT_EXPECT_TRUE_MSG(test, kg_is_frozen(kg_raw(page)), "raw %08x", kg_raw(page));
	kg_set_frozen(page);
	kg_free_frozen(page, order);
}

/*
 * Give blocks back until @zone has @pages free: such as are too large for the lists of single
 * CPUs, which count as used, and small enough to hit the mark.
 */
static unsigned long kg_give_back_until(struct zone *zone, unsigned long pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &kg_hoarded, lru) {
		if (zone_page_state(zone, NR_FREE_PAGES) >= pages)
			break;
		if (page_private(page) != KG_BESIDE_LISTS)
			continue;
		list_del(&page->lru);
		set_page_private(page, 0);
		__free_pages(page, KG_BESIDE_LISTS);
	}
	return zone_page_state(zone, NR_FREE_PAGES);
}

/* Leave @zone so much that only the second attempt succeeds, which goes down to the lowest mark. */
static void kg_hoard_between_marks(struct kunit *test, struct zone *zone)
{
	unsigned long min = 0, low = 0, free = 0;
	int tries;

	/* Others take pages and give them back meanwhile. */
	for (tries = 0; tries < KG_TRIES && (free <= min + 1 || free >= low); tries++) {
		kg_hoard_from(&kg_hoarded, zone_to_nid(zone), KG_TO_MIN, KG_BESIDE_LISTS);
		/* Hoarding mixes kinds of pages in a block, for which the marks are raised. */
		min = min_wmark_pages(zone);
		low = low_wmark_pages(zone);
		free = kg_give_back_until(zone, (min + low) / 2);
	}
	kunit_info(test, "%lu pages free, between the marks %lu and %lu\n", free, min, low);
	KUNIT_ASSERT_GT(test, free, min + 1);
	KUNIT_ASSERT_LT(test, free, low);
}

static void kg_check_second_attempt(struct kunit *test, bool frozen)
{
	int nid = kg_need_second_node(test, frozen);

	kg_hoard_between_marks(test, kg_zone_of(test, nid));
	kg_check(test, kg_take(frozen, nid, KG_NOWAIT | __GFP_THISNODE, 0), frozen, nid, 0);
}

static void page_of_the_second_attempt_has_one_reference(struct kunit *test)
{
	kg_check_second_attempt(test, false);
}

static void page_of_the_second_attempt_is_frozen(struct kunit *test)
{
	kg_check_second_attempt(test, true);
}

/* What is below the lowest mark is for those who free memory by getting some. */
static void kg_check_reserves(struct kunit *test, bool frozen)
{
	int nid = kg_need_second_node(test, frozen);
	gfp_t gfp = KG_NOWAIT | __GFP_THISNODE;

	kg_hoard(&kg_hoarded, nid, KG_TO_MIN);
	KUNIT_ASSERT_NULL(test, alloc_pages_node(nid, gfp, 0));
	kg_check(test, kg_take(frozen, nid, gfp | __GFP_MEMALLOC, 0), frozen, nid, 0);
}

static void page_of_the_reserves_has_one_reference(struct kunit *test)
{
	kg_check_reserves(test, false);
}

static void page_of_the_reserves_is_frozen(struct kunit *test)
{
	kg_check_reserves(test, true);
}

static unsigned long kg_shrink_count(struct shrinker *shrinker, struct shrink_control *control)
{
	return current == kg_asker && !list_empty(&kg_hoarded) ? KG_RELIEF : 0;
}

static unsigned long kg_shrink_scan(struct shrinker *shrinker, struct shrink_control *control)
{
	if (current != kg_asker || kg_asked++)
		return SHRINK_STOP;
	kg_account_reclaimed(kg_give_back(&kg_hoarded, KG_RELIEF));
	return KG_RELIEF;
}

/* Take pages of the empty @nid until somebody is asked for one: others give back meanwhile. */
static void kg_check_when_empty(struct kunit *test, bool frozen, int nid, gfp_t gfp)
{
	struct page *page;
	int i;

	for (i = 0; i < KG_TRIES && !kg_asked; i++) {
		kg_hoard(&kg_hoarded, nid, KG_TO_MIN);
		kg_asker = current;
		page = kg_take(frozen, nid, gfp, 0);
		kg_asker = NULL;
		kg_check(test, page, frozen, nid, 0);
	}
}

/* Nothing is there until our shrinker is asked, and nothing is tried after that. */
static void kg_check_direct_reclaim(struct kunit *test, bool frozen)
{
	int nid = kg_need_second_node(test, frozen);

	kg_shrinker = kg_add_shrinker(kg_shrink_count, kg_shrink_scan);
	KUNIT_ASSERT_NOT_NULL(test, kg_shrinker);
	kg_check_when_empty(test, frozen, nid, KG_RECLAIM | __GFP_NORETRY | __GFP_THISNODE);
	KUNIT_EXPECT_GE(test, kg_asked, 1);
}

static void page_of_direct_reclaim_has_one_reference(struct kunit *test)
{
	kg_check_direct_reclaim(test, false);
}

static void page_of_direct_reclaim_is_frozen(struct kunit *test)
{
	kg_check_direct_reclaim(test, true);
}

/*
 * Asked before a task is killed for memory. Whoever claims to have freed some keeps all
 * alive, and the allocation that must not fail is then given of the reserves.
 */
static int kg_out_of_memory(struct notifier_block *block, unsigned long unused, void *freed)
{
	if (current != kg_asker)
		return NOTIFY_DONE;
	kg_asked++;
	*(unsigned long *)freed = 1;
	return NOTIFY_OK;
}

static struct notifier_block kg_oom_notifier = { .notifier_call = kg_out_of_memory };

/* Confine the task, which ends with the case, to @nid as a cpuset would. */
static void kg_confine(struct kunit *test, int nid)
{
	static const char * const names[] = { "cpusets_pre_enable_key", "cpusets_enabled_key" };
	struct static_key *key;
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		key = kg_lookup(names[i]);
		KUNIT_ASSERT_NOT_NULL(test, key);
		static_key_slow_inc(key);
		kg_cpuset_keys[i] = key;
	}
	current->mems_allowed = nodemask_of_node(nid);
}

static void kg_check_out_of_memory(struct kunit *test, bool frozen)
{
	int nid = kg_need_second_node(test, frozen);

	kg_confine(test, nid);
	KUNIT_ASSERT_EQ(test, register_oom_notifier(&kg_oom_notifier), 0);
	kg_notified = true;
	kg_check_when_empty(test, frozen, nid, KG_RECLAIM | __GFP_HARDWALL | __GFP_NOFAIL);
	/* Asked once: what it claimed was enough, so that nothing was tried again. */
	KUNIT_EXPECT_EQ(test, kg_asked, 1);
}

static void page_got_when_out_of_memory_has_one_reference(struct kunit *test)
{
	kg_check_out_of_memory(test, false);
}

static void page_got_when_out_of_memory_is_frozen(struct kunit *test)
{
	kg_check_out_of_memory(test, true);
}

/* The nodes allowed have nothing, and what must not fail is taken from the others. */
static void kg_check_beyond_the_cpuset(struct kunit *test, bool frozen)
{
	gfp_t gfp = KG_RECLAIM | __GFP_HARDWALL | __GFP_NORETRY;
	int nid = kg_need_second_node(test, frozen);
	int other = first_node(node_states[N_MEMORY]);

	kg_confine(test, nid);
	kg_hoard(&kg_hoarded, nid, KG_TO_NOTHING);
	KUNIT_ASSERT_NULL(test, alloc_pages_node(nid, gfp, 0));
	kg_check(test, kg_take(frozen, nid, gfp | __GFP_NOFAIL, 0), frozen, other, 0);
}

static void page_from_beyond_the_cpuset_has_one_reference(struct kunit *test)
{
	kg_check_beyond_the_cpuset(test, false);
}

static void page_from_beyond_the_cpuset_is_frozen(struct kunit *test)
{
	kg_check_beyond_the_cpuset(test, true);
}

/* The first gets a whole pageblock set aside for others like it, the second is one of these. */
static void kg_check_highatomic(struct kunit *test, bool frozen)
{
	int nid = kg_need_second_node(test, frozen);
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN | __GFP_THISNODE;
	struct zone *zone = kg_zone_of(test, nid);
	struct page *first, *second;

	kg_hoard(&kg_hoarded, nid, KG_TO_MIN);
	first = kg_take(frozen, nid, gfp, 1);
	KUNIT_EXPECT_GT(test, READ_ONCE(zone->nr_reserved_highatomic), 0UL);
	second = kg_take(frozen, nid, gfp, 1);
	kg_check(test, first, frozen, nid, 1);
	kg_check(test, second, frozen, nid, 1);
	kg_give_all_back(&kg_hoarded);
	kg_expect_invariant(test);
}

static void page_of_the_atomic_reserve_has_one_reference(struct kunit *test)
{
	kg_check_highatomic(test, false);
}

static void page_of_the_atomic_reserve_is_frozen(struct kunit *test)
{
	kg_check_highatomic(test, true);
}

static void bulk_list_gives_one_reference_each(struct kunit *test)
{
	struct page *page, *next;
	LIST_HEAD(pages);
	int nr = 0;

	if (!kg_has_bulk_list())
		kunit_skip(test, "no bulk allocation into a list since 6.14: run with --base 6.1");
	KUNIT_EXPECT_EQ(test, kg_alloc_bulk_list(GFP_KERNEL, KG_BULK, &pages),
			(unsigned long)KG_BULK);
	list_for_each_entry_safe(page, next, &pages, lru) {
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		list_del(&page->lru);
		kg_release(page, 0);
		nr++;
	}
	KUNIT_EXPECT_EQ(test, nr, KG_BULK);
}

/* The mark is too near for all of them, so that it asks the allocator for a single one. */
static void bulk_array_that_falls_back_gives_one_reference(struct kunit *test)
{
	int nid = kg_need_second_node(test, false);
	struct page *pages[KG_BULK] = {};

	kg_hoard_between_marks(test, kg_zone_of(test, nid));
	KUNIT_EXPECT_EQ(test, kg_alloc_bulk_on(nid, KG_NOWAIT | __GFP_THISNODE,
					       KG_BULK, pages), 1UL);
	kg_check(test, pages[0], false, nid, 0);
}

struct kg_in_interrupt {
	struct irq_work work;
	struct completion done;
	bool frozen;
	bool in_interrupt;
	const struct task_struct *interrupted;
	struct page *page;
};

static void kg_allocate_in_interrupt(struct irq_work *work)
{
	struct kg_in_interrupt *there = container_of(work, struct kg_in_interrupt, work);
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;

	there->in_interrupt = in_interrupt();
	there->interrupted = current;
	there->page = there->frozen ? kg_alloc_frozen(gfp, 0) : alloc_pages(gfp, 0);
	complete(&there->done);
}

/* The policy is the task's, and an interrupt that comes upon it has none. */
static void kg_check_interrupt(struct kunit *test, bool frozen)
{
	struct kg_in_interrupt there = { .frozen = frozen };
	struct mempolicy policy = {
		.refcnt = ATOMIC_INIT(1),
		.mode = MPOL_BIND,
		.nodes = nodemask_of_node(kg_need_second_node(test, frozen)),
		.home_node = NUMA_NO_NODE,
	};
	int here = first_node(node_states[N_MEMORY]);
	struct page *page;

	init_completion(&there.done);
	init_irq_work(&there.work, kg_allocate_in_interrupt);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of_node(here)), 0);
	task_lock(current);
	current->mempolicy = &policy;
	task_unlock(current);
	preempt_disable();
	page = alloc_pages(KG_NOWAIT, 0);
	irq_work_queue(&there.work);
	/* It is this CPU that is interrupted, and this task on it. */
	while (!completion_done(&there.done))
		cpu_relax();
	preempt_enable();
	task_lock(current);
	current->mempolicy = NULL;
	task_unlock(current);

	KUNIT_EXPECT_TRUE(test, there.in_interrupt);
	KUNIT_EXPECT_PTR_EQ(test, there.interrupted, (const struct task_struct *)current);
	kg_check(test, page, false, first_node(policy.nodes), 0);
	kg_check(test, there.page, frozen, here, 0);
}

static void interrupt_gets_a_page_by_no_policy(struct kunit *test)
{
	kg_check_interrupt(test, false);
}

static void interrupt_gets_a_frozen_page_by_no_policy(struct kunit *test)
{
	kg_need_frozen_policy(test);
	kg_check_interrupt(test, true);
}

static int kg_alloc_paths_init(struct kunit *test)
{
	kg_asker = NULL;
	kg_asked = 0;
	return 0;
}

/* After each case, however it ended: all memory is there again. */
static void kg_alloc_paths_exit(struct kunit *test)
{
	int i;

	kg_asker = NULL;
	if (kg_shrinker)
		kg_remove_shrinker(kg_shrinker);
	kg_shrinker = NULL;
	if (kg_notified)
		unregister_oom_notifier(&kg_oom_notifier);
	kg_notified = false;
	for (i = ARRAY_SIZE(kg_cpuset_keys) - 1; i >= 0; i--) {
		if (kg_cpuset_keys[i])
			static_key_slow_dec(kg_cpuset_keys[i]);
		kg_cpuset_keys[i] = NULL;
	}
	kg_give_all_back(&kg_hoarded);
}

static struct kunit_case kg_alloc_paths_cases[] = {
	KG_CASE("FP-07", page_of_the_second_attempt_has_one_reference),
	KG_CASE("FP-07", page_of_the_second_attempt_is_frozen),
	KG_CASE("FP-07", page_of_the_reserves_has_one_reference),
	KG_CASE("FP-07", page_of_the_reserves_is_frozen),
	KG_CASE("FP-07", page_of_direct_reclaim_has_one_reference),
	KG_CASE("FP-07", page_of_direct_reclaim_is_frozen),
	KG_CASE("FP-07", page_got_when_out_of_memory_has_one_reference),
	KG_CASE("FP-07", page_got_when_out_of_memory_is_frozen),
	KG_CASE("FP-07", page_from_beyond_the_cpuset_has_one_reference),
	KG_CASE("FP-07", page_from_beyond_the_cpuset_is_frozen),
	KG_CASE("FP-07", bulk_list_gives_one_reference_each),
	KG_CASE("FP-07", bulk_array_that_falls_back_gives_one_reference),
	KG_CASE("FP-08", page_of_the_atomic_reserve_has_one_reference),
	KG_CASE("FP-08", page_of_the_atomic_reserve_is_frozen),
	KG_CASE("NUMA-07", interrupt_gets_a_page_by_no_policy),
	KG_CASE("NUMA-07", interrupt_gets_a_frozen_page_by_no_policy),
	{}
};

static struct kunit_suite kg_alloc_paths_suite = {
	.name = "alloc_paths",
	.init = kg_alloc_paths_init,
	.exit = kg_alloc_paths_exit,
	.test_cases = kg_alloc_paths_cases,
};

kunit_test_suite(kg_alloc_paths_suite);

MODULE_DESCRIPTION("KUnit: pages from the allocator's later attempts");
MODULE_LICENSE("GPL");
