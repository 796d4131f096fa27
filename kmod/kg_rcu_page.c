// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that a reader of RCU has found, and that has become another one before he
 * raises its count.
 *
 * The new owner may see a reference too many, but not for longer than a grace period.
 * And where the page has become a tail of a huge one there is nothing to be raised:
 * not before the huge page is split, nor while it is, so that what each of its pages
 * counts afterwards is known.
 *
 * First each step is forced, by a reader who stays in one section all the time; then
 * many of them race.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "compat.h"
#include "expect.h"
#include "inode.h"
#include "kg.h"
#include "race.h"
#include "scan.h"

#define KG_NR_PAGES	BIT(KG_SPLIT_ORDER)
/* The page that the reader has found: neither the first one nor one of the second. */
#define KG_FOUND	77
/* How many pages are taken until the one just freed comes back. */
#define KG_MANY		4096
/* How many tries of the reader each state of a page is given, and how long they may take. */
#define KG_TRIES	20
#define KG_TURN_NS	(2 * NSEC_PER_SEC)
/* Less than half of what is a stall (8 s). */
#define KG_SECTION	(3 * HZ)

/* Whoever runs a case stays on this CPU, so that the reader has another one for himself. */
static int kg_settle(struct kunit *test)
{
	int here = cpumask_first(cpu_online_mask);
	int there = cpumask_next(here, cpu_online_mask);

	if (there >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs: run on --machine smp2");
	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "needs preemptible readers: run with --config debug_vm");
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(here)), 0);
	return there;
}

static struct task_struct *kg_start(struct kunit *test, int (*reader)(void *data), int cpu)
{
	struct task_struct *task = kthread_create(reader, NULL, "kg_rcu_page");

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpu);
	wake_up_process(task);
	return task;
}

/*
 * One reference too many.
 */
enum kg_step { KG_STARTS, KG_HAS_FOUND, KG_MAY_GET, KG_HAS_GOT, KG_MAY_LEAVE, KG_HAS_LEFT,
	       KG_MAY_PUT, KG_HAS_PUT };

static struct page *kg_published;
static atomic_t kg_step;
static bool kg_got;
/* He puts the page only some time after he has left his section. */
static bool kg_impolite;

static bool kg_await(enum kg_step step)
{
	unsigned long deadline = jiffies + KG_SECTION;

	while (atomic_read_acquire(&kg_step) < step && time_before(jiffies, deadline))
		cpu_relax();
	return atomic_read(&kg_step) >= step;
}

static int kg_read_found_page(void *data)
{
	struct page *page;

	rcu_read_lock();
	page = READ_ONCE(kg_published);
	atomic_set_release(&kg_step, KG_HAS_FOUND);
	kg_await(KG_MAY_GET);
	kg_got = get_page_unless_zero(page);
	atomic_set_release(&kg_step, KG_HAS_GOT);
	kg_await(KG_MAY_LEAVE);
	if (kg_got && !kg_impolite)
		put_page(page);
	rcu_read_unlock();
	atomic_set_release(&kg_step, KG_HAS_LEFT);
	kg_await(KG_MAY_PUT);
	if (kg_got && kg_impolite)
		put_page(page);
	atomic_set_release(&kg_step, KG_HAS_PUT);
	return 0;
}

/* Free @page and have it again: whoever allocates on the same CPU gets what was freed last. */
static bool kg_allocate_again(struct page *page)
{
	LIST_HEAD(others);
	struct page *other, *next;
	bool found = false;
	int i;

	__free_page(page);
	for (i = 0; i < KG_MANY && !found; i++) {
		other = alloc_page(GFP_KERNEL);
		if (!other)
			break;
		found = other == page;
		if (!found)
			list_add(&other->lru, &others);
	}
	list_for_each_entry_safe(other, next, &others, lru)
		__free_page(other);
	return found;
}

/* What the new owner of a page sees while a reader holds it, and after a grace period. */
static void kg_hold_new_page(struct kunit *test, bool impolite, int after)
{
	int there = kg_settle(test);
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long cookie;

	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_published = page;
	kg_impolite = impolite;
	kg_got = false;
	atomic_set(&kg_step, KG_STARTS);
	kg_start(test, kg_read_found_page, there);
	KUNIT_EXPECT_TRUE(test, kg_await(KG_HAS_FOUND));

	KUNIT_EXPECT_TRUE(test, kg_allocate_again(page));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	cookie = get_state_synchronize_rcu();
	atomic_set_release(&kg_step, KG_MAY_GET);
	KUNIT_EXPECT_TRUE(test, kg_await(KG_HAS_GOT));
	KUNIT_EXPECT_TRUE(test, kg_got);
	mdelay(50);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 2);
	KUNIT_EXPECT_FALSE(test, poll_state_synchronize_rcu(cookie));

	atomic_set_release(&kg_step, KG_MAY_LEAVE);
	cond_synchronize_rcu(cookie);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), after);
	atomic_set_release(&kg_step, KG_MAY_PUT);
	KUNIT_EXPECT_TRUE(test, kg_await(KG_HAS_PUT));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	kg_release(page, 0);
}

static void reference_too_many_is_gone_after_a_grace_period(struct kunit *test)
{
	kg_hold_new_page(test, false, 1);
}

/* Which is why the protocol is one: and that the case above would see it. */
static void reference_of_one_who_has_left_is_not(struct kunit *test)
{
	kg_hold_new_page(test, true, 2);
}

/* Give the getters that have found @page in its earlier life some time to get it. */
static bool kg_is_got(struct page *page)
{
	int i;

	for (i = 0; i < KG_PATIENCE && page_ref_count(page) == 1; i++)
		cpu_relax();
	return page_ref_count(page) > 1;
}

/* How many times somebody has found what is published. */
static atomic_t kg_found;

static void kg_wait_until_found(int before)
{
	int i;

	for (i = 0; i < KG_PATIENCE && atomic_read(&kg_found) == before; i++)
		cpu_relax();
}

/* The same as a race. The getters are readers from finding the page to putting it. */
static void kg_turn_renew(struct kg_side *side)
{
	struct page *page = alloc_page(GFP_KERNEL);
	int found = atomic_read(&kg_found);
	unsigned long cookie;

	if (!page)
		return kg_lose(side);
	WRITE_ONCE(kg_published, page);
	kg_wait_until_found(found);
	WRITE_ONCE(kg_published, NULL);
	__free_page(page);
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return kg_lose(side);
	cookie = get_state_synchronize_rcu();
	if (kg_is_got(page))
		atomic_inc(&kg_race.events);
	cond_synchronize_rcu(cookie);
	if (page_ref_count(page) != 1)
		kg_violated_by(page, "a new page had not one reference after a grace period");
	__free_page(page);
	kg_win(side);
}

/* Look on until the page is about to become another one; then be early or late. */
static struct page *kg_find_page(const struct kg_side *side)
{
	struct page *page = READ_ONCE(kg_published);
	unsigned long i;

	if (!page)
		return NULL;
	atomic_inc(&kg_found);
	for (i = 0; i < KG_PATIENCE && READ_ONCE(kg_published) == page; i++)
		cpu_relax();
	for (i = 0; i < 10 * (side->turns % 32); i++)
		cpu_relax();
	return page;
}

static void kg_turn_find_and_get(struct kg_side *side)
{
	struct page *page;
	unsigned long i;

	rcu_read_lock();
	page = kg_find_page(side);
	if (!page || !get_page_unless_zero(page)) {
		rcu_read_unlock();
		return kg_lose(side);
	}
	for (i = 0; i < 10 * (side->turns % 32); i++)
		cpu_relax();
	put_page(page);
	rcu_read_unlock();
	kg_win(side);
}

static void references_too_many_last_no_longer(struct kunit *test)
{
	kg_race_between(test, kg_turn_renew, kg_turn_find_and_get);
	kg_race.turns = KG_WINS;
	kg_race.events_wanted = KG_EVENTS;
	kg_race_run(test);
	kg_expect_invariant(test);
}

/*
 * A page that becomes a tail, in one section of a reader.
 */
enum kg_state { KG_CHANGING, KG_OWNED, KG_FREE, KG_TAIL, KG_SPLITTING, KG_SPLIT, KG_END };

static struct kg_life_of_a_page {
	struct page *page;
	struct folio *folio;
	atomic_t state;
	/* What came of the reader's tries in each state. */
	unsigned long got[KG_END];
	unsigned long refused[KG_END];
	/* Of the reader: it was not frozen in a state in which it has to be. */
	unsigned long unfrozen;
	/* While it was split: pages that could be got, and whether there was such a while. */
	unsigned long got_in_split;
	bool seen_in_split;
	bool split;
	unsigned long wrong_counts;
	unsigned long tails_left;
} kg_life_of;

static bool kg_is_closed(int state)
{
	return state == KG_FREE || state == KG_TAIL || state == KG_SPLITTING;
}

static void kg_try(struct page *page)
{
	int state = atomic_read_acquire(&kg_life_of.state);
	u32 raw = kg_raw(page);
	bool got = get_page_unless_zero(page);

	/* Of a failed get nobody says that it is ordered. */
	smp_mb();
	if (got)
		put_page(page);
	if (state == KG_END || atomic_read(&kg_life_of.state) != state)
		return;
	if (kg_is_closed(state) && !kg_is_frozen(raw))
		kg_life_of.unfrozen++;
	if (got)
		WRITE_ONCE(kg_life_of.got[state], kg_life_of.got[state] + 1);
	else
		WRITE_ONCE(kg_life_of.refused[state], kg_life_of.refused[state] + 1);
}

static int kg_read_in_one_section(void *data)
{
	unsigned long deadline = jiffies + 2 * KG_SECTION;

	rcu_read_lock();
	while (atomic_read(&kg_life_of.state) != KG_END && time_before(jiffies, deadline))
		kg_try(kg_life_of.page);
	rcu_read_unlock();
	while (!kthread_should_stop())
		msleep(20);
	return 0;
}

static unsigned long kg_tries(int state)
{
	return READ_ONCE(kg_life_of.got[state]) + READ_ONCE(kg_life_of.refused[state]);
}

/*
 * The page is in @state until the reader has seen enough of it; then it may change. Not to
 * sleep: the split has interrupts disabled.
 */
static void kg_dwell(int state)
{
	u64 deadline = ktime_get_mono_fast_ns() + KG_TURN_NS;

	atomic_set_release(&kg_life_of.state, state);
	while (kg_tries(state) < KG_TRIES && ktime_get_mono_fast_ns() < deadline)
		cpu_relax();
	/* A full barrier: who tries after the page has changed sees that the state is over. */
	atomic_xchg(&kg_life_of.state, KG_CHANGING);
}

/* In the middle of the split, with all its pages frozen: the page cache is being changed. */
static int kg_in_split(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned long i;

	if (kg_life_of.seen_in_split || !kg_life_of.folio)
		return 0;
	kg_life_of.seen_in_split = true;
	for (i = 0; i < KG_NR_PAGES; i++)
		kg_life_of.got_in_split += get_page_unless_zero(folio_page(kg_life_of.folio, i));
	kg_dwell(KG_SPLITTING);
	return 0;
}

static struct kprobe kg_split_probe;

/* Single pages of what may become a huge page again. */
static struct page *kg_single_pages(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_NOWARN, KG_SPLIT_ORDER);

	if (pages)
		split_page(pages, KG_SPLIT_ORDER);
	return pages;
}

/* Not by kg_free_pages(): it waits for RCU, and the reader for us. */
static void kg_drain(void)
{
	void (*drain_all_pages)(struct zone *zone) = kg_lookup("drain_all_pages");

	if (drain_all_pages)
		drain_all_pages(NULL);
}

static void kg_free_single_pages(struct page *pages)
{
	unsigned long i;

	for (i = 0; i < KG_NR_PAGES; i++)
		__free_page(pages + i);
	/* Into one block again, where nobody finds a use for a single page of it. */
	kg_drain();
}

/* A huge page with @page in it; others are taken until it comes, and given back then. */
static struct folio *kg_huge_page_with(struct page *page)
{
	struct folio *folio, *next, *found = NULL;
	LIST_HEAD(others);

	while (!found) {
		folio = folio_alloc(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, KG_SPLIT_ORDER);
		if (!folio)
			break;
		if (page >= &folio->page && page < &folio->page + KG_NR_PAGES)
			found = folio;
		else
			list_add(&folio->lru, &others);
	}
	list_for_each_entry_safe(folio, next, &others, lru)
		folio_put(folio);
	return found;
}

/* What each page counts: the reference of the page cache, and the first one ours. */
static void kg_count_split(struct folio *folio)
{
	unsigned long i;

	for (i = 0; i < KG_NR_PAGES; i++) {
		struct page *page = &folio->page + i;
		int count = page_ref_count(page);

		kg_life_of.tails_left += PageTail(page);
		/* Of the one page that is tried, the reader may have one just now. */
		if (page == kg_life_of.page && count == 2)
			continue;
		if (count != (i ? 1 : 2))
			kg_life_of.wrong_counts++;
	}
}

/* The page cache and the probe are there before: to make either is to wait for readers. */
static void kg_split_in_cache(struct kunit *test, struct folio *folio)
{
	int error;

	KUNIT_EXPECT_TRUE(test, kg_add_to_cache(folio));
	kg_life_of.folio = folio;
	error = kg_split(&folio->page);
	KUNIT_EXPECT_EQ(test, error, 0);
	kg_life_of.split = !error;
	if (!error)
		kg_count_split(folio);
	kg_dwell(KG_SPLIT);
	folio_unlock(folio);
	folio_put(folio);
}

/* Owned, freed, a tail, split: all while a reader has his eye on it. */
static void kg_go_through_states(struct kunit *test, struct page *pages)
{
	struct folio *folio;

	kg_dwell(KG_OWNED);
	kg_free_single_pages(pages);
	kg_dwell(KG_FREE);
	/* The reader may have freed it last, after that. */
	kg_drain();
	folio = kg_huge_page_with(kg_life_of.page);
	KUNIT_EXPECT_NOT_NULL_MSG(test, folio, "the page has not become a tail");
	if (!folio)
		return;
	kg_dwell(KG_TAIL);
	kg_split_in_cache(test, folio);
}

static void kg_live(struct kunit *test)
{
	int there = kg_settle(test);
	struct task_struct *reader;
	struct page *pages;

	if (!kg_can_split())
		kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE: run with --config debug_vm");
	pages = kg_single_pages();
	KUNIT_ASSERT_NOT_NULL(test, pages);
	memset(&kg_life_of, 0, sizeof(kg_life_of));
	kg_life_of.page = pages + KG_FOUND;
	kg_open(test, KG_NR_PAGES * PAGE_SIZE);
	/* One that has been registered before has an address beside its name, and is disabled. */
	kg_split_probe = (struct kprobe) {
		.symbol_name = "xas_split",
		.pre_handler = kg_in_split,
	};
	KUNIT_EXPECT_EQ(test, register_kprobe(&kg_split_probe), 0);

	reader = kg_start(test, kg_read_in_one_section, there);
	get_task_struct(reader);
	kg_go_through_states(test, pages);
	atomic_set_release(&kg_life_of.state, KG_END);
	kthread_stop(reader);
	put_task_struct(reader);

	unregister_kprobe(&kg_split_probe);
	truncate_inode_pages(kg_inode->i_mapping, 0);
	kg_close();
	KUNIT_ASSERT_TRUE(test, kg_life_of.split);
	KUNIT_ASSERT_TRUE(test, kg_life_of.seen_in_split);
}

static void kg_tell(struct kunit *test)
{
	static const char * const names[] = { "", "owned", "free", "tail", "splitting", "split" };
	int state;

	for (state = KG_OWNED; state < KG_END; state++) {
		kunit_info(test, "%s: got %lu times, refused %lu times\n", names[state],
			   kg_life_of.got[state], kg_life_of.refused[state]);
		KUNIT_EXPECT_GE_MSG(test, kg_tries(state), (unsigned long)KG_TRIES,
				    "%s: not tried often enough", names[state]);
	}
}

static void page_that_becomes_a_tail_is_not_to_be_got(struct kunit *test)
{
	kg_live(test);
	kg_tell(test);
	KUNIT_EXPECT_EQ(test, kg_life_of.refused[KG_OWNED], 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.got[KG_FREE], 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.got[KG_TAIL], 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.got[KG_SPLITTING], 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.got_in_split, 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.refused[KG_SPLIT], 0UL);
	kg_expect_invariant(test);
}

static void counts_of_tails_are_stable_under_a_reader(struct kunit *test)
{
	kg_live(test);
	kg_tell(test);
	KUNIT_EXPECT_EQ(test, kg_life_of.unfrozen, 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.tails_left, 0UL);
	KUNIT_EXPECT_EQ(test, kg_life_of.wrong_counts, 0UL);
	kg_expect_invariant(test);
}

/*
 * The same as a race: huge pages that come, are split and go, over the same memory. The
 * getters' pointers may be of any of their lives.
 */
static void kg_check_split(struct folio *folio)
{
	unsigned long i;

	for (i = 0; i < KG_NR_PAGES; i++) {
		struct page *page = &folio->page + i;
		int spare = page_ref_count(page) - (i ? 1 : 2);

		if (PageTail(page))
			kg_violated_by(page, "a page is still a tail after the split");
		if (spare < 0 || spare >= kg_race.nr_sides)
			kg_violated_by(page, "a page has a wrong count after the split");
	}
}

static void kg_turn_make_and_split(struct kg_side *side)
{
	struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_NOWARN, KG_SPLIT_ORDER);

	if (!folio)
		return kg_lose(side);
	if (!kg_add_to_cache(folio)) {
		folio_put(folio);
		return kg_lose(side);
	}
	/* A life is what it is a huge page for. */
	kg_begin_life(&folio->page);
	kg_wait_for_getters(kg_lost_by_getters, KG_TRIES);
	kg_end_life();
	if (kg_split(&folio->page)) {
		kg_lose(side);
	} else {
		kg_check_split(folio);
		kg_win(side);
	}
	folio_unlock(folio);
	if (kg_is_patient(side))
		kg_wait_for_getters(kg_won_by_getters, 1);
	kg_end_life();
	folio_put(folio);
	truncate_inode_pages(kg_inode->i_mapping, 0);
}

static void kg_turn_get_tail(struct kg_side *side)
{
	struct page *first, *page;
	int life, before;
	bool got;

	rcu_read_lock();
	before = kg_life();
	first = READ_ONCE(kg_race.published);
	page = first + 1 + side->turns * 61 % (KG_NR_PAGES - 1);
	if (!first) {
		rcu_read_unlock();
		return kg_lose(side);
	}
	if (side->turns % KG_PATIENT == 0)
		kg_wait_for_end(before);
	life = kg_life();
	got = get_page_unless_zero(page);
	/* Of a failed get nobody says that it is ordered. */
	smp_mb();
	if (kg_is_live(life) && kg_life() == life && first == READ_ONCE(kg_race.published)) {
		if (got)
			kg_violated_by(page, "a tail could be got");
		else
			atomic_inc(&kg_race.events);
	}
	if (got)
		put_page(page);
	rcu_read_unlock();
	if (got)
		kg_win(side);
	else
		kg_lose(side);
}

static void tails_are_not_to_be_got_in_a_race(struct kunit *test)
{
	if (!kg_can_split())
		kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE: run with --config debug_vm");
	kg_race_between(test, kg_turn_make_and_split, kg_turn_get_tail);
	kg_race.turns = 150;
	kg_race.events_wanted = 100 * KG_EVENTS;
	kg_open(test, KG_NR_PAGES * PAGE_SIZE);
	kg_race_run(test);
	kg_close();
	kg_expect_invariant(test);
}

static struct kunit_case kg_rcu_page_cases[] = {
	KG_CASE("RCU-02", reference_too_many_is_gone_after_a_grace_period),
	KG_CASE("RCU-02", reference_of_one_who_has_left_is_not),
	KG_CASE("RCU-02", references_too_many_last_no_longer),
	KG_CASE("RCU-04", counts_of_tails_are_stable_under_a_reader),
	KG_CASE("RCU-05", page_that_becomes_a_tail_is_not_to_be_got),
	KG_CASE("RCU-05", tails_are_not_to_be_got_in_a_race),
	{}
};

static struct kunit_suite kg_rcu_page_suite = {
	.name = "rcu_page",
	.test_cases = kg_rcu_page_cases,
};

kunit_test_suite(kg_rcu_page_suite);

MODULE_DESCRIPTION("KUnit: pages that readers of RCU find, and that have become other ones");
MODULE_LICENSE("GPL");
