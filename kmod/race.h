/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A race: one owner and one or more getters.
 *
 * Each side is a thread on a CPU of its own that takes turns until all have won
 * and lost often enough. A race in which one side never won, or in which nobody
 * ever lost, has shown nothing and fails.
 *
 * What the owner lets the getters see may have lifetimes, each with a number that
 * is stamped into the memory. A getter that has its reference from within a
 * lifetime may hold it beyond: the memory then stays what it was.
 */
#ifndef KG_RACE_H
#define KG_RACE_H

#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

#include "kg.h"
#include "symbols.h"

#define KG_MAX_SIDES	4
/* Of each: turns of a side, what it wins, and what the race is about. */
#define KG_TURNS	1000
#define KG_WINS		50
#define KG_EVENTS	10
/*
 * Emulated on a busy machine; otherwise a race takes 0.3 s. Whoever waits for it
 * sleeps so long, which is not to be taken for a task that hangs (20 s).
 */
#define KG_DEADLINE	(12 * HZ)
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
	/* How many turns each side takes at least. */
	unsigned long turns;
	/* What the race is about: a getter's last put, a limit crossed; how often at least. */
	unsigned int events_wanted;
	atomic_t events;
	/* The owner has frozen the page, or nobody has it: no get may succeed. */
	atomic_t closed;
	/* The page that getters look at, and the state of its lifetime. */
	struct page *published;
	atomic_t life;
	/* The kernel has killed a side. */
	bool died;
	/* Nothing is gained by going on after the first one. */
	atomic_t violations;
	const char *violation;
	u32 violation_raw;
} kg_race;

static inline void kg_violated_by(const struct page *page, const char *what)
{
	if (atomic_inc_return(&kg_race.violations) != 1)
		return;
	kg_race.violation_raw = kg_raw(page);
	kg_race.violation = what;
}

static inline bool kg_is_patient(const struct kg_side *side)
{
	return side->turns % KG_PATIENT == 0;
}

static inline unsigned long kg_won_by_getters(void)
{
	unsigned long won = 0;
	int i;

	for (i = 1; i < kg_race.nr_sides; i++)
		won += READ_ONCE(kg_race.sides[i].won);
	return won;
}

static inline unsigned long kg_lost_by_getters(void)
{
	unsigned long lost = 0;
	int i;

	for (i = 1; i < kg_race.nr_sides; i++)
		lost += READ_ONCE(kg_race.sides[i].lost);
	return lost;
}

/* The owner leaves things as they are for @nr more turns of getters, within reason. */
static inline void kg_wait_for_getters(unsigned long (*sum)(void), unsigned long nr)
{
	unsigned long before = sum();
	int i;

	for (i = 0; i < KG_PATIENCE && sum() - before < nr; i++)
		cpu_relax();
}

static inline void kg_win(struct kg_side *side)
{
	WRITE_ONCE(side->won, side->won + 1);
}

static inline void kg_lose(struct kg_side *side)
{
	WRITE_ONCE(side->lost, side->lost + 1);
}

/* As put_page() does it. Was it the last reference? */
static inline bool kg_put(struct page *page)
{
	if (!put_page_testzero(page))
		return false;
	__folio_put(page_folio(page));
	return true;
}

static inline void kg_stamp(struct page *page, unsigned long stamp)
{
	unsigned long *words = page_address(page);

	WRITE_ONCE(words[0], stamp);
	WRITE_ONCE(words[PAGE_SIZE / sizeof(*words) - 1], stamp);
}

static inline bool kg_has_stamp(struct page *page, unsigned long stamp)
{
	unsigned long *words = page_address(page);

	return READ_ONCE(words[0]) == stamp &&
	       READ_ONCE(words[PAGE_SIZE / sizeof(*words) - 1]) == stamp;
}

/* A lifetime goes through three states: it lasts, it is being ended, it is over. */
static inline int kg_life(void)
{
	return atomic_read_acquire(&kg_race.life);
}

static inline bool kg_is_live(int life)
{
	return life % 3 == 1;
}

/* The number that the next lifetime has while it lasts. */
static inline int kg_next_life(void)
{
	return atomic_read(&kg_race.life) + 1;
}

static inline void kg_begin_life(struct page *page)
{
	WRITE_ONCE(kg_race.published, page);
	atomic_inc_return(&kg_race.life);
}

/* To be called before and after what ends it. */
static inline void kg_end_life(void)
{
	atomic_inc_return(&kg_race.life);
}

static inline void kg_wait_for_end(int life)
{
	int i;

	for (i = 0; i < KG_PATIENCE && kg_life() - life < 2; i++)
		cpu_relax();
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

	if (kg_race.died || atomic_read(&kg_race.violations))
		return true;
	for (side = kg_race.sides; side < kg_race.sides + kg_race.nr_sides; side++) {
		if (READ_ONCE(side->turns) < kg_race.turns ||
		    READ_ONCE(side->won) < KG_WINS)
			return false;
	}
	if (atomic_read(&kg_race.events) < kg_race.events_wanted)
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
		/* Ours to ask after, even if it dies of what it finds. */
		get_task_struct(task);
		kthread_bind(task, cpu);
		kg_race.sides[i].task = task;
		wake_up_process(task);
		cpu = cpumask_next(cpu, cpu_online_mask);
	}
	return i;
}

/* A side that the kernel has killed takes no more turns: there is nothing to wait for. */
static bool kg_side_died(void)
{
	int i;

	for (i = 0; i < kg_race.nr_sides; i++) {
		if (READ_ONCE(kg_race.sides[i].task->flags) & PF_EXITING)
			return true;
	}
	return false;
}

static void kg_race_wait_and_stop(int started)
{
	unsigned long deadline = jiffies + KG_DEADLINE;

	while (started == kg_race.nr_sides && !kg_race_is_over() &&
	       time_before(jiffies, deadline)) {
		msleep(20);
		kg_race.died = kg_side_died();
	}
	while (started--) {
		kthread_stop(kg_race.sides[started].task);
		put_task_struct(kg_race.sides[started].task);
	}
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
	KUNIT_EXPECT_FALSE_MSG(test, kg_race.died, "a side has died");
	KUNIT_EXPECT_GT_MSG(test, kg_losses(), 0UL,
			    "nobody ever lost, so nothing was shown");
	if (kg_race.events_wanted) {
		kunit_info(test, "what it is about: %d times\n",
			   atomic_read(&kg_race.events));
		KUNIT_EXPECT_GT_MSG(test, atomic_read(&kg_race.events), 0,
				    "what the race is about never happened");
	}
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&kg_race.violations), 0,
			    "the first: %s; raw %08x", kg_race.violation,
			    kg_race.violation_raw);
}

/* How many pages are free, with those in the lists of the CPUs and those that wait for RCU. */
static inline unsigned long kg_free_pages(void)
{
	void (*drain)(struct zone *zone) = kg_lookup("drain_all_pages");
	struct sysinfo info;

	rcu_barrier();
	if (drain)
		drain(NULL);
	si_meminfo(&info);
	return info.freeram;
}

/* KASAN keeps a 32nd of memory that was freed for a while (mm/kasan/quarantine.c, 7.2). */
static inline unsigned long kg_kept_free(void)
{
	return IS_ENABLED(CONFIG_KASAN_GENERIC) ? totalram_pages() / 32 : 0;
}

/*
 * Pages lost since @before were free? Others allocate as well, but not as many
 * as @few, which is to be a small part of what a mistake would have lost.
 */
static inline void kg_expect_no_leak(struct kunit *test, unsigned long before,
				     unsigned long few)
{
	unsigned long after = kg_free_pages();

	few += kg_kept_free();
	kunit_info(test, "%lu pages were free before, %lu are after\n", before, after);
	KUNIT_EXPECT_LT_MSG(test, before, after + few, "of %lu pages free before, %lu are",
			    before, after);
}

/* Skip, or set up who does what. */
static void kg_race_between(struct kunit *test, void (*owner)(struct kg_side *side),
			    void (*getter)(struct kg_side *side))
{
	int i, nr_sides = min_t(int, num_online_cpus(), KG_MAX_SIDES);

	if (nr_sides < 2)
		kunit_skip(test, "needs two CPUs: run on --machine smp2");

	memset(&kg_race, 0, sizeof(kg_race));
	kg_race.nr_sides = nr_sides;
	kg_race.turns = KG_TURNS;
	for (i = 0; i < nr_sides; i++)
		kg_race.sides[i].turn = i ? getter : owner;
}

static void kg_race_run(struct kunit *test)
{
	int started = kg_race_start();

	kg_race_wait_and_stop(started);
	KUNIT_EXPECT_EQ(test, started, kg_race.nr_sides);
	kg_race_judge(test);
}

#endif
