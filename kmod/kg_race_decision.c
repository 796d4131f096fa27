// SPDX-License-Identifier: GPL-2.0-only
/*
 * A put that is held up between two operations while the page goes on living.
 *
 * With a put in two steps this may happen: the first putter counts down to zero and
 * is held up. A second one gets the page, puts it, and frees it. The page is
 * allocated again; a third putter has the only reference and counts down to zero.
 * Now the first one goes on, finds a zero, and takes the page for its own to free.
 * Then the third one finds it frozen: the page is freed by code that knows nothing of
 * what it has become, and those who know are told that it was not the last reference.
 *
 * The first and the third are held up by a hook inside the put, so it happens each
 * time, or can be seen not to. In a put in one step there is nowhere to be held up.
 */
#include "hook.h"

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "frozen.h"
#include "inode.h"
#include "kg.h"
#include "scan.h"

/* A thread that has nothing to wait for but us answers at once. */
#define KG_SECONDS	10
/* Of so many pages just freed one comes back, or something is odd. */
#define KG_TRIES	64

/* One who puts the page; the first and the third may be held up in the middle of it. */
struct kg_putter {
	struct task_struct *task;
	void (*held_up)(void);
	bool last;
};

static struct kunit *kg_test;
static struct page *kg_page;
static struct kg_putter kg_first, kg_second, kg_third;
static bool kg_lives_again;
static struct completion kg_third_stands, kg_third_may_go_on, kg_third_is_done;

static void kg_hook(const atomic_t *count)
{
	struct kg_putter *putter;

	if (!kg_page || count != &kg_page->_refcount)
		return;
	putter = current == kg_first.task ? &kg_first : &kg_third;
	if (current != putter->task)
		return;
	/* Once: it goes on with what it was about. */
	putter->task = NULL;
	putter->held_up();
}

static void kg_wait(struct completion *done)
{
	if (!wait_for_completion_timeout(done, KG_SECONDS * HZ))
		kunit_err(kg_test, "nobody came for %d seconds\n", KG_SECONDS);
}

static void kg_third_held_up(void)
{
	complete(&kg_third_stands);
	kg_wait(&kg_third_may_go_on);
}

/* As __free_pages() does it: the page of a driver, that nothing has to be undone for. */
static void kg_free_plain(struct page *page)
{
	kg_free_frozen(page, 0);
}

/* Allocate @page again, which was just freed. */
static bool kg_alloc_again(struct page *page)
{
	struct folio *folios[KG_TRIES];
	bool found = false;
	int i, nr;

	for (nr = 0; nr < KG_TRIES && !found; nr++) {
		folios[nr] = folio_alloc(GFP_KERNEL, 0);
		found = folios[nr] == page_folio(page);
	}
	for (i = 0; i < nr - found; i++)
		folio_put(folios[i]);
	return found;
}

/* The same page in the page cache, and out of it again: one reference, on the LRU list. */
static bool kg_begin_cached(struct kunit *test, struct page *page)
{
	bool cached = kg_alloc_again(page) && kg_add_to_cache(page_folio(page));

	KUNIT_EXPECT_TRUE_MSG(test, cached, "the page just freed did not come back");
	if (!cached)
		return false;
	folio_unlock(page_folio(page));
	truncate_inode_pages(kg_inode->i_mapping, 0);
	KUNIT_EXPECT_TRUE(test, PageLRU(page));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	return true;
}

static void kg_free_cached(struct page *page)
{
	__folio_put(page_folio(page));
}

static void kg_put_third(void)
{
	kg_third.last = put_page_testzero(kg_page);
	if (kg_third.last)
		kg_free_cached(kg_page);
}

static int kg_third_thread(void *unused)
{
	kg_third.task = current;
	kg_third.held_up = kg_third_held_up;
	kg_put_third();
	complete(&kg_third_stands);
	kthread_complete_and_exit(&kg_third_is_done, 0);
}

/* The first one is held up: the page is freed, and lives again until its last put. */
static void kg_first_held_up(void)
{
	if (!get_page_unless_zero(kg_page))
		return;
	kg_second.last = put_page_testzero(kg_page);
	if (!kg_second.last)
		return;
	kg_free_plain(kg_page);
	kg_lives_again = kg_begin_cached(kg_test, kg_page);
	if (!kg_lives_again)
		return;
	if (IS_ERR(kthread_run(kg_third_thread, NULL, "kg_third")))
		return complete(&kg_third_is_done);
	kg_wait(&kg_third_stands);
}

static void kg_put_first(void)
{
	kg_first.task = current;
	kg_first.held_up = kg_first_held_up;
	kg_first.last = put_page_testzero(kg_page);
	kg_first.task = NULL;
	if (kg_first.last)
		kg_free_plain(kg_page);
}

static void kg_begin(struct kunit *test, struct page *page)
{
	kg_test = test;
	kg_page = page;
	kg_first = (struct kg_putter){};
	kg_second = (struct kg_putter){};
	kg_third = (struct kg_putter){};
	kg_lives_again = false;
	init_completion(&kg_third_stands);
	init_completion(&kg_third_may_go_on);
	init_completion(&kg_third_is_done);
}

/* Two lifetimes, the puts of which are held up wherever they can be. */
static void kg_live_twice(struct kunit *test, struct page *page)
{
	kg_begin(test, page);
	kg_put_first();
	if (kg_lives_again) {
		complete(&kg_third_may_go_on);
		kg_wait(&kg_third_is_done);
	} else if (kg_begin_cached(test, page)) {
		kg_put_third();
	}
	kg_page = NULL;

	kunit_info(test, "last put: first %d, second %d, third %d; the first one was %s\n",
		   kg_first.last, kg_second.last, kg_third.last,
		   kg_lives_again ? "held up until the second lifetime" : "not held up");
	KUNIT_EXPECT_EQ_MSG(test, kg_first.last + kg_second.last, 1,
			    "puts of the first lifetime that say that they were the last");
	KUNIT_EXPECT_TRUE_MSG(test, kg_third.last,
			      "the only put of the second lifetime was not its last");
}

static void page_is_freed_as_what_it_has_become(struct kunit *test)
{
	struct page *page;

	kg_need_frozen_alloc(test);
	kg_open(test, PAGE_SIZE);
	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_live_twice(test, page);
	kg_close();
	kg_expect_invariant(test);
}

static struct kunit_case kg_race_decision_cases[] = {
	KG_CASE("RACE-13", page_is_freed_as_what_it_has_become),
	{}
};

static struct kunit_suite kg_race_decision_suite = {
	.name = "race_decision",
	.test_cases = kg_race_decision_cases,
};

kunit_test_suite(kg_race_decision_suite);

MODULE_DESCRIPTION("KUnit: a put held up while the page is freed and allocated again");
MODULE_LICENSE("GPL");
