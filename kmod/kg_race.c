// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gets against freezing, freeing and overflow, on several CPUs at once.
 *
 * A race has one owner and one or more getters, each a thread on a CPU of its
 * own that takes turns until all have won and lost often enough. A race in which
 * one side never won, or in which nobody ever lost, has shown nothing and fails.
 * Each ends with the balance of its count and with a scan of all memory.
 */
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"

#define KG_MAX_SIDES	4
/* Of each: turns of a side, what it wins, and what the race is about. */
#define KG_TURNS	1000
#define KG_WINS		50
#define KG_EVENTS	10
/* Emulated on a busy machine; otherwise a race takes 0.3 s. */
#define KG_DEADLINE	(20 * HZ)
/* Every so many turns a side waits for the other one to run into it. */
#define KG_PATIENT	4
#define KG_PATIENCE	2000

struct kg_side {
	void (*turn)(struct kg_side *side);
	struct task_struct *task;
	unsigned long turns;
	unsigned long won;
	unsigned long lost;
	unsigned long freed;
} ____cacheline_aligned_in_smp;

/* One race at a time: KUnit runs one case after the other. */
static struct kg_race {
	struct page *page;
	/* Sides[0] is the owner. */
	struct kg_side sides[KG_MAX_SIDES];
	int nr_sides;
	/* What the race is about: a getter's last put, a limit crossed. */
	bool has_events;
	atomic_t events;
	/* The owner has frozen the page, or nobody has it: no get may succeed. */
	atomic_t closed;
	atomic_t violations;
	const char *violation;
	u32 violation_raw;
} kg_race;

static void kg_violated(const char *what)
{
	if (atomic_inc_return(&kg_race.violations) != 1)
		return;
	kg_race.violation_raw = kg_raw(kg_race.page);
	kg_race.violation = what;
}

static bool kg_is_patient(const struct kg_side *side)
{
	return side->turns % KG_PATIENT == 0;
}

static unsigned long kg_won_by_getters(void)
{
	unsigned long won = 0;
	int i;

	for (i = 1; i < kg_race.nr_sides; i++)
		won += READ_ONCE(kg_race.sides[i].won);
	return won;
}

static unsigned long kg_lost_by_getters(void)
{
	unsigned long lost = 0;
	int i;

	for (i = 1; i < kg_race.nr_sides; i++)
		lost += READ_ONCE(kg_race.sides[i].lost);
	return lost;
}

/* The owner leaves things as they are for @nr more turns of getters, within reason. */
static void kg_wait_for_getters(unsigned long (*sum)(void), unsigned long nr)
{
	unsigned long before = sum();
	int i;

	for (i = 0; i < KG_PATIENCE && sum() - before < nr; i++)
		cpu_relax();
}

static void kg_win(struct kg_side *side)
{
	WRITE_ONCE(side->won, side->won + 1);
}

static void kg_lose(struct kg_side *side)
{
	WRITE_ONCE(side->lost, side->lost + 1);
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

static int kg_side_thread(void *data)
{
	struct kg_side *side = data;

	while (!kthread_should_stop()) {
		side->turn(side);
		WRITE_ONCE(side->turns, side->turns + 1);
		cond_resched();
	}
	return 0;
}

static unsigned long kg_losses(void)
{
	return READ_ONCE(kg_race.sides[0].lost) + kg_lost_by_getters();
}

static bool kg_race_is_over(void)
{
	struct kg_side *side;

	for (side = kg_race.sides; side < kg_race.sides + kg_race.nr_sides; side++) {
		if (READ_ONCE(side->turns) < KG_TURNS || READ_ONCE(side->won) < KG_WINS)
			return false;
	}
	if (kg_race.has_events && atomic_read(&kg_race.events) < KG_EVENTS)
		return false;
	return kg_losses() > 0;
}

/* Start a thread on each CPU. Returns how many it started. */
static int kg_race_start(void)
{
	int cpu = cpumask_first(cpu_online_mask);
	struct task_struct *task;
	int i;

	for (i = 0; i < kg_race.nr_sides; i++) {
		task = kthread_create(kg_side_thread, &kg_race.sides[i], "kg_race/%d", i);
		if (IS_ERR(task))
			return i;
		kthread_bind(task, cpu);
		kg_race.sides[i].task = task;
		wake_up_process(task);
		cpu = cpumask_next(cpu, cpu_online_mask);
	}
	return i;
}

static void kg_race_wait_and_stop(int started)
{
	unsigned long deadline = jiffies + KG_DEADLINE;

	while (started == kg_race.nr_sides && !kg_race_is_over() &&
	       time_before(jiffies, deadline))
		msleep(20);
	while (started--)
		kthread_stop(kg_race.sides[started].task);
}

static void kg_race_judge(struct kunit *test)
{
	int i;

	for (i = 0; i < kg_race.nr_sides; i++) {
		kunit_info(test, "%s: %lu turns, %lu won, %lu lost, %lu freed\n",
			   i ? "getter" : "owner", kg_race.sides[i].turns,
			   kg_race.sides[i].won, kg_race.sides[i].lost,
			   kg_race.sides[i].freed);
		KUNIT_EXPECT_GT_MSG(test, kg_race.sides[i].won, 0UL,
				    "side %d never won, so nothing was shown", i);
	}
	KUNIT_EXPECT_GT_MSG(test, kg_losses(), 0UL,
			    "nobody ever lost, so nothing was shown");
	if (kg_race.has_events)
		KUNIT_EXPECT_GT_MSG(test, atomic_read(&kg_race.events), 0,
				    "what the race is about never happened");
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&kg_race.violations), 0,
			    "the first: %s; raw %08x", kg_race.violation,
			    kg_race.violation_raw);
}

/* Skip, or set up a page of ours and who does what. */
static void kg_race_prepare(struct kunit *test, void (*owner)(struct kg_side *side),
			    void (*getter)(struct kg_side *side))
{
	int i, nr_sides = min_t(int, num_online_cpus(), KG_MAX_SIDES);

	if (nr_sides < 2)
		kunit_skip(test, "needs two CPUs: run on --machine smp2");

	memset(&kg_race, 0, sizeof(kg_race));
	kg_race.nr_sides = nr_sides;
	for (i = 0; i < nr_sides; i++)
		kg_race.sides[i].turn = i ? getter : owner;
	kg_race.page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kg_race.page);
}

static void kg_race_run(struct kunit *test)
{
	int started = kg_race_start();

	kg_race_wait_and_stop(started);
	KUNIT_EXPECT_EQ(test, started, kg_race.nr_sides);
	kg_race_judge(test);
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
	kg_race.has_events = true;
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

static unsigned long kg_free_pages(void)
{
	struct sysinfo info;

	si_meminfo(&info);
	return info.freeram;
}

static void stale_gets_lose_no_page(struct kunit *test)
{
	unsigned long before, after;

	kg_race_prepare(test, kg_turn_alloc_and_put, kg_turn_get_stale);
	before = kg_free_pages();
	kg_race_run(test);
	after = kg_free_pages();

	kunit_info(test, "%lu pages were free before, %lu are after\n", before, after);
	/* Others allocate as well, but not one page for four of ours. */
	KUNIT_EXPECT_LT(test, before, after + kg_race.sides[0].won / 4);
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
	kg_race.has_events = kg_limit_resets();
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
