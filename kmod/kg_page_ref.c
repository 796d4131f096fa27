// SPDX-License-Identifier: GPL-2.0-only
/*
 * The count of one page, function by function, with nobody else looking.
 *
 * page_ref.h is all inline: what is tested is this module's own copy of the
 * header of the kernel under test.
 *
 * Each case gives its page back with kg_release(), which resets the count, so
 * that a claim that fails leaves no bad page behind for the next one.
 */
#include <kunit/test.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

static struct page *kg_new_page(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	return page;
}

/* A page of ours, frozen as reclaim and migration do it. */
static struct page *kg_new_frozen_page(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	KUNIT_EXPECT_TRUE(test, page_ref_freeze(page, 1));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	return page;
}

static void add_and_sub_are_exact(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	page_ref_inc(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	page_ref_add(page, 40);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 42U);
	page_ref_sub(page, 2);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 40U);
	page_ref_dec(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 39U);
	folio_ref_inc(page_folio(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 40U);
	folio_ref_add(page_folio(page), 1000);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1040U);
	folio_ref_sub(page_folio(page), 1038);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	folio_ref_dec(page_folio(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_release(page, 0);
}

static void returned_counts_are_exact(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	KUNIT_EXPECT_EQ(test, page_ref_inc_return(page), 2);
	KUNIT_EXPECT_EQ(test, folio_ref_inc_return(page_folio(page)), 3);
	KUNIT_EXPECT_EQ(test, page_ref_dec_return(page), 2);
	page_ref_add(page, 98);
	KUNIT_EXPECT_EQ(test, folio_ref_sub_return(page_folio(page), 90), 10);
	KUNIT_EXPECT_EQ(test, folio_ref_dec_return(page_folio(page)), 9);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 9U);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 9);
	KUNIT_EXPECT_EQ(test, folio_ref_sub_return(page_folio(page), 7), 2);
	KUNIT_EXPECT_EQ(test, page_ref_dec_return(page), 1);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_release(page, 0);
}

static void gets_and_puts_are_exact(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	get_page(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	KUNIT_EXPECT_TRUE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 3U);
	KUNIT_EXPECT_TRUE(test, try_get_page(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 4U);
	KUNIT_EXPECT_TRUE(test, folio_try_get(page_folio(page)));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 5U);
	KUNIT_EXPECT_TRUE(test, kg_try_add(page, 512));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 517U);
	KUNIT_EXPECT_TRUE(test, kg_folio_try_add(page_folio(page), 83));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 600U);
	KUNIT_EXPECT_FALSE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 599U);
	KUNIT_EXPECT_FALSE(test, page_ref_sub_and_test(page, 595));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 4U);
	put_page(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 3U);
	folio_put_refs(page_folio(page), 2);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_release(page, 0);
}

static void freeze_takes_exactly_the_expected_count(struct kunit *test)
{
	static const int counts[] = { 1, 2, 3, 512, 0x10000, INT_MAX };
	struct page *page = kg_new_page(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		kg_set_raw(page, counts[i]);
		KUNIT_EXPECT_TRUE(test, page_ref_freeze(page, counts[i]));
		KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);

		page_ref_unfreeze(page, counts[i]);
		KUNIT_EXPECT_EQ(test, kg_raw(page), (u32)counts[i]);
	}
	kg_release(page, 0);
}

static void freeze_with_another_count_changes_nothing(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	page_ref_add(page, 6);
	KUNIT_EXPECT_FALSE(test, page_ref_freeze(page, 8));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 7U);
	KUNIT_EXPECT_FALSE(test, page_ref_freeze(page, 6));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 7U);
	KUNIT_EXPECT_FALSE(test, folio_ref_freeze(page_folio(page), 1));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 7U);
	kg_release(page, 0);
}

static void a_frozen_page_freezes_only_once(struct kunit *test)
{
	struct page *page = kg_new_frozen_page(test);

	KUNIT_EXPECT_FALSE(test, page_ref_freeze(page, 1));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	kg_release(page, 0);
}

static void failed_get_leaves_page_frozen(struct kunit *test)
{
	struct page *page = kg_new_frozen_page(test);
	u32 before;
	int i;

	for (i = 0; i < 5; i++) {
		before = kg_raw(page);
		KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
		KUNIT_EXPECT_TRUE_MSG(test, kg_failed_get_leaves(before, 1, kg_raw(page)),
				      "raw %08x -> %08x", before, kg_raw(page));
		KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
	}
	before = kg_raw(page);
	KUNIT_EXPECT_FALSE(test, kg_try_add(page, 512));
	KUNIT_EXPECT_TRUE_MSG(test, kg_failed_get_leaves(before, 512, kg_raw(page)),
			      "raw %08x -> %08x", before, kg_raw(page));
	KUNIT_EXPECT_FALSE(test, folio_try_get(page_folio(page)));
	KUNIT_EXPECT_FALSE(test, kg_folio_try_add(page_folio(page), 512));
	kg_release(page, 0);
}

static void unfreeze_forgets_failed_gets(struct kunit *test)
{
	struct page *page = kg_new_frozen_page(test);
	int i;

	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	page_ref_unfreeze(page, 3);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 3U);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 3);
	KUNIT_EXPECT_TRUE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 4U);
	kg_release(page, 0);
}

static void init_forgets_failed_gets(struct kunit *test)
{
	struct page *page = kg_new_frozen_page(test);

	KUNIT_EXPECT_FALSE(test, kg_try_add(page, 77));
	init_page_count(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_release(page, 0);
}

/*
 * A get of @nr starts at the raw count @before. With the bit it must fail; the
 * page stays frozen and is never left nearer to an overflow. Without the bit
 * the same numbers are counts like any other.
 */
static void kg_expect_get_near_limit(struct kunit *test, struct page *page,
				     u32 before, u32 nr)
{
	bool got;

	kg_set_raw(page, before);
	got = kg_try_add(page, nr);

	KUNIT_EXPECT_EQ_MSG(test, got, !kg_expect.bit, "raw %08x + %u", before, nr);
	if (kg_expect.bit)
		KUNIT_EXPECT_TRUE_MSG(test, kg_failed_get_leaves(before, nr, kg_raw(page)),
				      "raw %08x + %u -> %08x", before, nr, kg_raw(page));
	else
		KUNIT_EXPECT_EQ(test, kg_raw(page), before + nr);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), kg_count(kg_raw(page)));
}

static void get_below_limit_does_not_cross_it(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	kg_expect_get_near_limit(test, page, 0xBFFFFFFDU, 1);
	kg_expect_get_near_limit(test, page, 0xBFFFFFFEU, 1);
	kg_expect_get_near_limit(test, page, 0xBFFFFDFEU, 512);
	kg_expect_get_near_limit(test, page, 0xBFFFFDFFU, 512);
	kg_release(page, 0);
}

static void get_that_reaches_limit_resets_count(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	kg_expect_get_near_limit(test, page, 0xBFFFFFFFU, 1);
	kg_expect_get_near_limit(test, page, 0xBFFFFE00U, 512);
	kg_expect_get_near_limit(test, page, 0xBFFFFFFFU, 512);
	/* The most that one get may add: the largest int below the distance. */
	kg_expect_get_near_limit(test, page, 0xBFFFFFFFU, 0x3FFFFFFFU);
	kg_release(page, 0);
}

/*
 * Beyond the limit a count is only seen while other gets are between their add
 * and their reset.
 */
static void get_beyond_limit_resets_count(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	kg_expect_get_near_limit(test, page, 0xC0000000U, 1);
	kg_expect_get_near_limit(test, page, 0xC0000000U, 512);
	kg_expect_get_near_limit(test, page, 0xC0000001U, 1);
	kg_expect_get_near_limit(test, page, 0xFFFFFFFDU, 1);
	kg_expect_get_near_limit(test, page, 0xFFFFFFFEU, 1);
	kg_expect_get_near_limit(test, page, 0xFFFFFDFFU, 512);
	kg_release(page, 0);
}

/* It would take 2^30 gets at once to come there, but then none may get the page. */
static void get_at_the_last_count_does_not_unfreeze(struct kunit *test)
{
	struct page *page = kg_new_page(test);
	bool got;

	kg_set_raw(page, 0xFFFFFFFFU);
	got = get_page_unless_zero(page);
	if (kg_expect.bit) {
		KUNIT_EXPECT_FALSE_MSG(test, got, "the get succeeded");
		KUNIT_EXPECT_TRUE_MSG(test, kg_is_frozen(kg_raw(page)),
				      "raw %08x is not frozen", kg_raw(page));
	} else {
		KUNIT_EXPECT_TRUE(test, got);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 0U);
	}
	kg_release(page, 0);
}

static void last_put_freezes_page(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	get_page(page);
	KUNIT_EXPECT_FALSE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	KUNIT_EXPECT_TRUE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
	kg_release(page, 0);
}

static void last_folio_put_freezes_page(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	KUNIT_EXPECT_TRUE(test, folio_put_testzero(page_folio(page)));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	page_ref_unfreeze(page, 1);
	KUNIT_EXPECT_TRUE(test, folio_ref_dec_and_test(page_folio(page)));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	kg_release(page, 0);
}

static void last_sub_and_test_freezes_page(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	page_ref_add(page, 511);
	KUNIT_EXPECT_FALSE(test, page_ref_sub_and_test(page, 12));
	KUNIT_EXPECT_EQ(test, kg_raw(page), 500U);
	KUNIT_EXPECT_TRUE(test, page_ref_sub_and_test(page, 500));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);

	page_ref_unfreeze(page, 7);
	KUNIT_EXPECT_TRUE(test, folio_ref_sub_and_test(page_folio(page), 7));
	KUNIT_EXPECT_EQ(test, kg_raw(page), kg_expect.frozen);
	kg_release(page, 0);
}

/*
 * Free a page by folio_put_refs(); the raw count it then has. Interrupts are
 * off, so the page stays on this CPU's free list, unless another CPU drains it.
 */
static u32 kg_raw_after_put_refs(struct page *page, int refs)
{
	unsigned long flags;
	u32 raw;

	local_irq_save(flags);
	folio_put_refs(page_folio(page), refs);
	raw = kg_raw(page);
	local_irq_restore(flags);
	return raw;
}

static void folio_put_refs_frees_page_frozen(struct kunit *test)
{
	u32 raw = ~kg_expect.frozen;
	struct page *page;
	int i;

	/* A drained page may be somebody's by now: look at another one. */
	for (i = 0; i < 3 && raw != kg_expect.frozen; i++) {
		page = kg_new_page(test);
		page_ref_add(page, 2);
		raw = kg_raw_after_put_refs(page, 3);
	}
	KUNIT_EXPECT_EQ(test, raw, kg_expect.frozen);
}

static void count_up_to_int_max_is_exact(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	kg_set_raw(page, INT_MAX - 3);
	get_page(page);
	KUNIT_EXPECT_TRUE(test, try_get_page(page));
	KUNIT_EXPECT_TRUE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), (u32)INT_MAX);
	KUNIT_EXPECT_EQ(test, page_count(page), INT_MAX);
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(page)));
	KUNIT_EXPECT_FALSE(test, put_page_testzero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), (u32)INT_MAX - 1);
	kg_release(page, 0);
}

/*
 * A get at INT_MAX succeeds, or it leaves no trace. A page with owners never
 * looks frozen: lookups in the page cache would retry for ever.
 */
static void get_at_int_max_keeps_page_live(struct kunit *test)
{
	struct page *page = kg_new_page(test);
	bool got;

	kg_set_raw(page, INT_MAX);
	got = get_page_unless_zero(page);

	KUNIT_EXPECT_TRUE_MSG(test, got || kg_raw(page) == INT_MAX,
			      "the get failed, and left raw %08x", kg_raw(page));
	KUNIT_EXPECT_NE_MSG(test, page_count(page), 0,
			    "a page with %d owners looks frozen", INT_MAX);
	kg_release(page, 0);
}

/* The same for the get that looks itself. */
static void try_get_at_int_max_keeps_page_live(struct kunit *test)
{
	struct page *page = kg_new_page(test);
	bool got;

	kg_set_raw(page, INT_MAX);
	got = try_get_page(page);

	KUNIT_EXPECT_TRUE_MSG(test, got || kg_raw(page) == INT_MAX,
			      "the get failed, and left raw %08x", kg_raw(page));
	KUNIT_EXPECT_NE_MSG(test, page_count(page), 0,
			    "a page with %d owners looks frozen", INT_MAX);
	kg_release(page, 0);
}

static void frozen_page_counts_zero(struct kunit *test)
{
	struct page *page = kg_new_frozen_page(test);
	int i;

	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
		KUNIT_EXPECT_EQ(test, page_count(page), 0);
		KUNIT_EXPECT_EQ(test, folio_ref_count(page_folio(page)), 0);
		KUNIT_EXPECT_FALSE(test, kg_try_add(page, 1 + i * 1000));
	}
	kg_release(page, 0);
}

static void every_frozen_raw_value_counts_zero(struct kunit *test)
{
	static const u32 raws[] = {
		0x80000000U, 0x80000001U, 0x80000400U, 0xBFFFFFFFU,
		0xC0000000U, 0xFFFFFFFEU, 0xFFFFFFFFU, 0,
	};
	struct page *page = kg_new_page(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(raws); i++) {
		kg_set_raw(page, raws[i]);
		KUNIT_EXPECT_EQ(test, page_ref_count(page), kg_count(raws[i]));
		KUNIT_EXPECT_EQ(test, folio_ref_count(page_folio(page)),
				kg_count(raws[i]));
	}
	kg_release(page, 0);
}

/*
 * Struct pages that are not initialized, those of memory that firmware or an
 * earlier kernel keeps among them, are all zeros: a get would be a get of
 * memory that is nobody's, and the put would free it.
 */
static void page_that_never_had_a_count_cannot_be_got(struct kunit *test)
{
	struct page *page = kg_new_page(test);

	kg_set_raw(page, 0);
	KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ_MSG(test, page_ref_count(page), 0, "raw %08x", kg_raw(page));
	kg_set_raw(page, 0);
	KUNIT_EXPECT_FALSE(test, folio_try_get(page_folio(page)));
	KUNIT_EXPECT_EQ_MSG(test, page_ref_count(page), 0, "raw %08x", kg_raw(page));
	kg_release(page, 0);
}

static void tail_page_counts_zero(struct kunit *test)
{
	struct page *head = alloc_pages(GFP_KERNEL | __GFP_COMP, 3);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, head);
	for (i = 1; i < 8; i++) {
		KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(head + i)));
		KUNIT_EXPECT_EQ(test, page_ref_count(head + i), 0);
		KUNIT_EXPECT_FALSE(test, get_page_unless_zero(head + i));
		KUNIT_EXPECT_EQ(test, page_ref_count(head + i), 0);
		/* page_count() asks the folio, which is owned. */
		KUNIT_EXPECT_EQ(test, page_count(head + i), 1);
	}
	KUNIT_EXPECT_EQ(test, kg_raw(head), 1U);
	kg_release(head, 3);
}

static struct kunit_case kg_page_ref_cases[] = {
	KG_CASE("REF-01", add_and_sub_are_exact),
	KG_CASE("REF-01", returned_counts_are_exact),
	KG_CASE("REF-01", gets_and_puts_are_exact),
	KG_CASE("REF-02", freeze_takes_exactly_the_expected_count),
	KG_CASE("REF-02", freeze_with_another_count_changes_nothing),
	KG_CASE("REF-02", a_frozen_page_freezes_only_once),
	KG_CASE("REF-03", failed_get_leaves_page_frozen),
	KG_CASE("REF-03", unfreeze_forgets_failed_gets),
	KG_CASE("REF-03", init_forgets_failed_gets),
	KG_CASE("REF-04", get_below_limit_does_not_cross_it),
	KG_CASE("REF-04", get_that_reaches_limit_resets_count),
	KG_CASE("REF-04", get_beyond_limit_resets_count),
	KG_CASE("REF-04", get_at_the_last_count_does_not_unfreeze),
	KG_CASE("REF-05", last_put_freezes_page),
	KG_CASE("REF-05", last_folio_put_freezes_page),
	KG_CASE("REF-08", last_sub_and_test_freezes_page),
	KG_CASE("REF-08", folio_put_refs_frees_page_frozen),
	KG_CASE("REF-09", count_up_to_int_max_is_exact),
	KG_CASE("REF-09", get_at_int_max_keeps_page_live),
	KG_CASE("REF-09", try_get_at_int_max_keeps_page_live),
	KG_CASE("REF-10", frozen_page_counts_zero),
	KG_CASE("REF-10", every_frozen_raw_value_counts_zero),
	KG_CASE("REF-10", tail_page_counts_zero),
	KG_CASE("REF-16", page_that_never_had_a_count_cannot_be_got),
	{}
};

static struct kunit_suite kg_page_ref_suite = {
	.name = "page_ref",
	.test_cases = kg_page_ref_cases,
};

kunit_test_suite(kg_page_ref_suite);

MODULE_DESCRIPTION("KUnit: the reference count of a page, function by function");
MODULE_LICENSE("GPL");
