// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages pinned for DMA, as a driver does it: pin_user_pages_fast() on memory of a
 * process. A small folio has no pin count of its own; each pin adds 1024 to its
 * reference count, and whoever must know compares the count with that.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "symbols.h"

#define KG_PIN			1024
#define KG_PINS			512

/* A page of user memory: where it is mapped, what it is, its count without pins. */
struct kg_user_page {
	unsigned long address;
	struct page *page;
	u32 raw;
};

typedef void (*kg_drain_fn)(void);

static int kg_pin(struct kg_user_page *user)
{
	return pin_user_pages_fast(user->address, 1, FOLL_WRITE, &user->page);
}

/* New pages wait in a list for the LRU, which holds a reference for a while. */
static void kg_drain_lru(struct kunit *test)
{
	kg_drain_fn drain = kg_lookup("lru_add_drain_all");

	KUNIT_ASSERT_NOT_NULL(test, drain);
	drain();
}

static struct kg_user_page kg_new_user_page(struct kunit *test)
{
	struct kg_user_page user = { .address = kg_user_memory(test, PAGE_SIZE) };

	if (!user.address)
		kunit_skip(test, "no user memory for KUnit before 6.11: run with --base 7.2");
	KUNIT_ASSERT_EQ(test, put_user(1UL, (unsigned long __user *)user.address), 0);
	kg_drain_lru(test);
	KUNIT_ASSERT_EQ(test, kg_pin(&user), 1);
	unpin_user_page(user.page);
	KUNIT_ASSERT_FALSE(test, folio_test_large(page_folio(user.page)));
	user.raw = kg_raw(user.page);
	return user;
}

static bool kg_maybe_pinned(const struct kg_user_page *user)
{
	return folio_maybe_dma_pinned(page_folio(user->page));
}

static void a_pin_counts_for_1024(struct kunit *test)
{
	struct kg_user_page user = kg_new_user_page(test);

	KUNIT_EXPECT_FALSE(test, kg_maybe_pinned(&user));
	KUNIT_ASSERT_EQ(test, kg_pin(&user), 1);
	KUNIT_EXPECT_EQ(test, kg_raw(user.page), user.raw + KG_PIN);
	KUNIT_EXPECT_TRUE(test, kg_maybe_pinned(&user));
	unpin_user_page(user.page);
	KUNIT_EXPECT_EQ(test, kg_raw(user.page), user.raw);
	KUNIT_EXPECT_FALSE(test, kg_maybe_pinned(&user));
}

static void many_pins_add_up(struct kunit *test)
{
	struct kg_user_page user = kg_new_user_page(test);
	int i;

	for (i = 0; i < KG_PINS; i++)
		KUNIT_ASSERT_EQ(test, kg_pin(&user), 1);
	KUNIT_EXPECT_EQ(test, kg_raw(user.page), user.raw + KG_PINS * KG_PIN);
	KUNIT_EXPECT_TRUE(test, kg_maybe_pinned(&user));
	for (i = 0; i < KG_PINS; i++)
		unpin_user_page(user.page);
	KUNIT_EXPECT_EQ(test, kg_raw(user.page), user.raw);
	KUNIT_EXPECT_FALSE(test, kg_maybe_pinned(&user));
}

/* A page that has lost all references but that of a pin is still somebody's. */
static void the_only_reference_may_be_a_pin(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_set_raw(page, 1023);
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(page_folio(page)));
	kg_set_raw(page, 1024);
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(page)));
	kg_release(page, 0);
}

static void a_frozen_page_is_not_pinned(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_TRUE(test, page_ref_freeze(page, 1));
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(page_folio(page)));
	kg_release(page, 0);
}

/*
 * With as many references as these the page could have half a million pins. One
 * more is refused, and then leaves no trace, or it is seen as one: else fork
 * would share the page, and reclaim take it, while a device writes to it.
 */
static void a_pin_past_int_max_is_refused_or_seen(struct kunit *test)
{
	struct kg_user_page user = kg_new_user_page(test);
	struct page *page = user.page;
	bool seen;
	u32 raw;
	int got;

	kg_set_raw(page, INT_MAX - 500);
	got = kg_pin(&user);
	raw = kg_raw(page);
	seen = folio_maybe_dma_pinned(page_folio(page));
	kg_set_raw(page, user.raw);

	if (got == 1)
		KUNIT_EXPECT_TRUE_MSG(test, seen, "raw %08x is not taken for pinned", raw);
	else
		KUNIT_EXPECT_EQ(test, raw, INT_MAX - 500U);
}

static struct kunit_case kg_pin_cases[] = {
	KG_CASE("PIN-01", a_pin_counts_for_1024),
	KG_CASE("PIN-01", many_pins_add_up),
	KG_CASE("PIN-01", the_only_reference_may_be_a_pin),
	KG_CASE("PIN-01", a_frozen_page_is_not_pinned),
	KG_CASE("PIN-01", a_pin_past_int_max_is_refused_or_seen),
	{}
};

static struct kunit_suite kg_pin_suite = {
	.name = "pin",
	.test_cases = kg_pin_cases,
};

kunit_test_suite(kg_pin_suite);

MODULE_DESCRIPTION("KUnit: pages pinned for DMA");
MODULE_LICENSE("GPL");
