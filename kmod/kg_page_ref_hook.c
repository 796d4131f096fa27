// SPDX-License-Identifier: GPL-2.0-only
/*
 * What another CPU may do in the middle of a get or a put, done there each time.
 *
 * With the frozen bit a last put is two atomic operations, "count down" and "if
 * still zero, freeze", and a failed get is "count up" and "if beyond the limit,
 * reset". Before the operations that can be the second one an intruder acts.
 *
 * A get that looks before it adds is two operations as well.
 *
 * Kernels that do it in one operation never call the intruder; what they promise
 * for the same sequence of calls is stated, too.
 */
#include "hook.h"

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

/* Operations that a change may consist of, with some to spare. */
#define KG_STEPS	3

/* The count that is watched, and what to do when it is about to be written. */
static atomic_t *kg_hooked;
static void (*kg_intruder)(void);
static int kg_intrusions;
/* How many operations are let pass before. */
static int kg_let_pass;

static void kg_hook(const atomic_t *count)
{
	if (count != kg_hooked || kg_let_pass-- > 0)
		return;
	/* Once: the intruder uses the same functions. */
	kg_hooked = NULL;
	kg_intrusions++;
	kg_intruder();
}

/* The page that the intruder acts on, and what its calls returned. */
static struct page *kg_page;
static bool kg_intruder_got;
static bool kg_intruder_put_last;

static void kg_intruder_gets(void)
{
	kg_intruder_got = get_page_unless_zero(kg_page);
}

static void kg_intruder_gets_and_puts(void)
{
	kg_intruder_got = get_page_unless_zero(kg_page);
	if (kg_intruder_got)
		kg_intruder_put_last = put_page_testzero(kg_page);
}

static void kg_intruder_gets_twice_and_puts_once(void)
{
	kg_intruder_gets();
	if (kg_intruder_got)
		kg_intruder_got = get_page_unless_zero(kg_page);
	if (kg_intruder_got)
		kg_intruder_put_last = put_page_testzero(kg_page);
}

/* What the count was when the intruder looked. */
static u32 kg_intruder_saw;

static void kg_intruder_looks(void)
{
	kg_intruder_saw = kg_raw(kg_page);
}

static void kg_intruder_freezes_near_limit(void)
{
	kg_set_raw(kg_page, KG_FROZEN_LIMIT - 1);
}

/* Let @intruder in the next time. */
static void kg_followed_by(void (*intruder)(void))
{
	kg_intruder = intruder;
	kg_hooked = &kg_page->_refcount;
}

static void kg_intruder_gets_the_last_reference(void)
{
	kg_set_raw(kg_page, INT_MAX);
}

static void kg_intruder_unfreezes(void)
{
	page_ref_unfreeze(kg_page, 3);
}

static void kg_intruder_freezes_and_unfreezes(void)
{
	kg_intruder_freezes_near_limit();
	kg_followed_by(kg_intruder_unfreezes);
}

/*
 * Watch the count of a new page, which is set to @raw, and let @intruder in when
 * it is about to be written by an operation that may be a second one.
 */
static struct page *kg_new_hooked_page(struct kunit *test, u32 raw, void (*intruder)(void))
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_set_raw(page, raw);
	kg_page = page;
	kg_intruder = intruder;
	kg_intruder_got = false;
	kg_intruder_put_last = false;
	kg_intrusions = 0;
	kg_let_pass = 0;
	kg_hooked = &page->_refcount;
	return page;
}

static void kg_release_hooked(struct page *page)
{
	kg_hooked = NULL;
	kg_release(page, 0);
}

static void get_inside_last_put_takes_page_over(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_gets);
	bool last = put_page_testzero(page);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.put_in_two_steps ? 1 : 0);
	if (!kg_intrusions)
		kg_intruder_gets();

	/* Either the put was the last one, or the page is the getter's. */
	KUNIT_EXPECT_NE(test, last, kg_intruder_got);
	KUNIT_EXPECT_EQ(test, kg_intruder_got, kg_expect.put_in_two_steps);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), kg_intruder_got ? 1 : 0);
	if (kg_intruder_got) {
		KUNIT_EXPECT_TRUE(test, put_page_testzero(page));
		KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	}
	kg_release_hooked(page);
}

static void get_inside_last_sub_takes_page_over(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 7, kg_intruder_gets);
	bool last = page_ref_sub_and_test(page, 7);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.put_in_two_steps ? 1 : 0);
	KUNIT_EXPECT_NE(test, last, kg_intruder_got);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), kg_intruder_got ? 1 : 0);
	if (kg_intruder_got)
		KUNIT_EXPECT_TRUE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	kg_release_hooked(page);
}

/* One that goes in a loop has a window, but whoever comes in there is not lost. */
static void put_that_is_not_last_frees_nothing(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 2, kg_intruder_gets);

	KUNIT_EXPECT_FALSE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.put_is_a_loop ? 1 : 0);
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.put_is_a_loop ? 2U : 1U);
	kg_release_hooked(page);
}

static void kg_expect_look_inside_last_put(struct kunit *test, int let_pass)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_looks);

	kg_let_pass = let_pass;
	KUNIT_EXPECT_TRUE(test, put_page_testzero(page));
	if (!let_pass)
		KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.put_in_two_steps ? 1 : 0);
	if (kg_intrusions)
		KUNIT_EXPECT_EQ_MSG(test, kg_intruder_saw, kg_expect.put_is_a_loop ? 1U : 0U,
				    "after %d operations", let_pass);
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	kg_release_hooked(page);
}

/*
 * Zero is but the moment between the two steps; a put that looks and exchanges
 * goes from one to frozen without it.
 */
static void zero_is_seen_only_inside_last_put(struct kunit *test)
{
	int step;

	for (step = 0; step < KG_STEPS; step++)
		kg_expect_look_inside_last_put(test, step);
}

static void get_and_put_inside_last_put_free_page_once(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_gets_and_puts);
	bool last = put_page_testzero(page);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.put_in_two_steps ? 1 : 0);
	KUNIT_EXPECT_EQ(test, kg_intruder_got, kg_expect.put_in_two_steps);
	KUNIT_EXPECT_EQ_MSG(test, last + kg_intruder_put_last, 1,
			    "%d of two puts say that they were the last",
			    last + kg_intruder_put_last);
	KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(page)));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
	KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	kg_release_hooked(page);
}

static void two_gets_and_a_put_inside_last_put_free_nothing(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1,
					       kg_intruder_gets_twice_and_puts_once);
	bool last = put_page_testzero(page);

	KUNIT_EXPECT_EQ(test, last, !kg_expect.put_in_two_steps);
	KUNIT_EXPECT_FALSE(test, kg_intruder_put_last);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), kg_expect.put_in_two_steps ? 1 : 0);
	kg_release_hooked(page);
}

/* The put of a later owner, in a thread of its own, which stops where an intruder is let in. */
static struct kg_later_put {
	struct completion inside;
	struct completion go_on;
	struct completion done;
	bool begun;
	bool last;
} kg_later;

static void kg_later_owner_stops(void)
{
	complete(&kg_later.inside);
	wait_for_completion(&kg_later.go_on);
}

static int kg_later_owner_puts(void *unused)
{
	kg_later.last = put_page_testzero(kg_page);
	complete(&kg_later.inside);
	complete(&kg_later.done);
	return 0;
}

/* Returns when that put is between its steps, or over if it has only one. */
static void kg_begin_later_put(void)
{
	kg_intruder = kg_later_owner_stops;
	kg_hooked = &kg_page->_refcount;
	kg_later.begun = !IS_ERR(kthread_run(kg_later_owner_puts, NULL, "kg_later_put"));
	if (kg_later.begun)
		wait_for_completion(&kg_later.inside);
}

static void kg_finish_later_put(void)
{
	complete(&kg_later.go_on);
	if (kg_later.begun)
		wait_for_completion(&kg_later.done);
}

/* Get and put the page; if that frees it, it is allocated again, and put again. */
static void kg_intruder_brings_a_later_owner(void)
{
	kg_intruder_gets_and_puts();
	if (!kg_intruder_put_last)
		return;
	page_ref_unfreeze(kg_page, 1);
	kg_begin_later_put();
}

/*
 * Who put a page for the last time frees it, in his own way: a block of pages, a
 * folio, a fragment. So a put that is late must not free the page of a later
 * owner, who has just put it, too.
 */
static void put_frees_no_page_of_a_later_owner(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_brings_a_later_owner);
	bool first;

	kg_later = (struct kg_later_put){};
	init_completion(&kg_later.inside);
	init_completion(&kg_later.go_on);
	init_completion(&kg_later.done);

	first = put_page_testzero(page);
	kg_finish_later_put();

	KUNIT_EXPECT_EQ(test, kg_later.begun, kg_intruder_put_last);
	KUNIT_EXPECT_EQ_MSG(test, first, !kg_later.begun, "%s",
			    first ? "the put of an earlier owner frees the page of the later one" :
				    "nobody frees the page");
	KUNIT_EXPECT_EQ(test, kg_later.last, kg_later.begun);
	KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(page)));
	kg_release_hooked(page);
}

/* The count is reset only if it is still the one that was beyond the limit. */
static void unfreeze_inside_reset_is_not_lost(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, KG_FROZEN_LIMIT - 1,
					       kg_intruder_unfreezes);
	bool got = get_page_unless_zero(page);

	KUNIT_EXPECT_EQ(test, got, !kg_expect.bit);
	if (!kg_expect.bit)
		KUNIT_EXPECT_EQ(test, kg_raw(page), KG_FROZEN_LIMIT);
	else if (kg_intrusions)
		KUNIT_EXPECT_EQ(test, kg_raw(page), 3U);
	else
		KUNIT_EXPECT_EQ(test, kg_raw(page), KG_FROZEN_LIMIT - 1);
	kg_release_hooked(page);
}

/*
 * A get has looked at a page in use, which is then frozen, and as good as all gets
 * that may fail on it have failed: it fails as well, and has to reset the count.
 */
static void get_that_looked_before_a_freeze_fails(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_freezes_near_limit);
	bool got = get_page_unless_zero(page);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.get_looks_first ? 1 : 0);
	KUNIT_EXPECT_EQ(test, got, !kg_intrusions);
	if (got)
		KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	else
		KUNIT_EXPECT_TRUE_MSG(test,
				      kg_failed_get_leaves(KG_FROZEN_LIMIT - 1, 1, kg_raw(page)),
				      "raw %08x", kg_raw(page));
	kg_release_hooked(page);
}

/* The same, and the page is unfrozen just before the reset. */
static void unfreeze_inside_late_reset_is_not_lost(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, 1, kg_intruder_freezes_and_unfreezes);
	bool got = get_page_unless_zero(page);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.get_looks_first ? 2 : 0);
	KUNIT_EXPECT_EQ(test, got, !kg_intrusions);
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_intrusions ? 3U : 2U);
	kg_release_hooked(page);
}

/* A get has looked, and others get the last references that there are: the page stays live. */
static void get_that_looked_before_the_last_one_fails(struct kunit *test)
{
	struct page *page = kg_new_hooked_page(test, INT_MAX - 1,
					       kg_intruder_gets_the_last_reference);
	bool got = get_page_unless_zero(page);

	KUNIT_EXPECT_EQ(test, kg_intrusions, kg_expect.get_looks_first ? 1 : 0);
	KUNIT_EXPECT_EQ(test, got, !kg_intrusions);
	KUNIT_EXPECT_EQ(test, kg_raw(page), (u32)INT_MAX);
	kg_release_hooked(page);
}

static void kg_intruder_takes_seven(void)
{
	kg_set_raw(kg_page, kg_raw(kg_page) + 7);
}

static void kg_inc(struct page *page)
{
	page_ref_inc(page);
}

static void kg_dec(struct page *page)
{
	page_ref_dec(page);
}

static void kg_add_five(struct page *page)
{
	page_ref_add(page, 5);
}

static void kg_sub_five(struct page *page)
{
	page_ref_sub(page, 5);
}

static void kg_inc_return(struct page *page)
{
	page_ref_inc_return(page);
}

static void kg_dec_return(struct page *page)
{
	page_ref_dec_return(page);
}

static void kg_sub_five_return(struct page *page)
{
	folio_ref_sub_return(page_folio(page), 5);
}

static void kg_try_get(struct page *page)
{
	if (!get_page_unless_zero(page))
		pr_info("no get\n");
}

static void kg_try_get_five(struct page *page)
{
	if (!kg_try_add(page, 5))
		pr_info("no get\n");
}

static void kg_put(struct page *page)
{
	if (put_page_testzero(page))
		pr_info("the last put\n");
}

static void kg_put_five(struct page *page)
{
	if (page_ref_sub_and_test(page, 5))
		pr_info("the last put\n");
}

/* What changes a count, and by how much. */
static const struct kg_change {
	const char *name;
	void (*make)(struct page *page);
	int by;
} kg_changes[] = {
	{ "inc", kg_inc, 1 },
	{ "dec", kg_dec, -1 },
	{ "add", kg_add_five, 5 },
	{ "sub", kg_sub_five, -5 },
	{ "inc_return", kg_inc_return, 1 },
	{ "dec_return", kg_dec_return, -1 },
	{ "sub_return", kg_sub_five_return, -5 },
	{ "conditional get", kg_try_get, 1 },
	{ "conditional get of many", kg_try_get_five, 5 },
	{ "put", kg_put, -1 },
	{ "put of many", kg_put_five, -5 },
};

static void kg_expect_both(struct kunit *test, const struct kg_change *change, int let_pass)
{
	struct page *page = kg_new_hooked_page(test, 100, kg_intruder_takes_seven);

	kg_let_pass = let_pass;
	change->make(page);
	KUNIT_EXPECT_EQ_MSG(test, kg_raw(page), 100U + change->by + 7U * kg_intrusions,
			    "%s, after %d operations", change->name, let_pass);
	kg_release_hooked(page);
}

/* A change that reads the count and then stores a new one loses what came in between. */
static void change_inside_a_change_is_not_lost(struct kunit *test)
{
	int i, step;

	for (i = 0; i < ARRAY_SIZE(kg_changes); i++) {
		for (step = 0; step < KG_STEPS; step++)
			kg_expect_both(test, &kg_changes[i], step);
	}
}

static struct kunit_case kg_page_ref_hook_cases[] = {
	KG_CASE("REF-06", get_inside_last_put_takes_page_over),
	KG_CASE("REF-06", get_inside_last_sub_takes_page_over),
	KG_CASE("REF-06", put_that_is_not_last_frees_nothing),
	KG_CASE("RULE-05", zero_is_seen_only_inside_last_put),
	KG_CASE("REF-07", get_and_put_inside_last_put_free_page_once),
	KG_CASE("REF-07", two_gets_and_a_put_inside_last_put_free_nothing),
	KG_CASE("RACE-13", put_frees_no_page_of_a_later_owner),
	KG_CASE("REF-04", unfreeze_inside_reset_is_not_lost),
	KG_CASE("REF-04", get_that_looked_before_a_freeze_fails),
	KG_CASE("REF-04", unfreeze_inside_late_reset_is_not_lost),
	KG_CASE("REF-09", get_that_looked_before_the_last_one_fails),
	KG_CASE("RACE-14", change_inside_a_change_is_not_lost),
	{}
};

static struct kunit_suite kg_page_ref_hook_suite = {
	.name = "page_ref_hook",
	.test_cases = kg_page_ref_hook_cases,
};

kunit_test_suite(kg_page_ref_hook_suite);

MODULE_DESCRIPTION("KUnit: gets and puts inside other gets and puts");
MODULE_LICENSE("GPL");
