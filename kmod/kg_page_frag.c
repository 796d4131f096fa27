// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page fragments: many users of one page, whose references are taken in advance.
 *
 * A cache takes 0x8000 references beside the first one when it gets a page, and
 * hands them out with its fragments. When the page is used up, it gives back at
 * once what is left of them; if that was the last, it uses the page again, which
 * is the one place where somebody else than the page allocator starts anew from
 * a page that was put for the last time.
 */
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

/* One fragment takes a page; a cache's page has 8 of them, or 1 if memory is scarce. */
#define KG_FRAGMENT		4096
#define KG_MAX_FRAGMENTS	8
#define KG_WHOLE_BIAS		0x8001U

static void *kg_new_fragment(struct kunit *test, struct page_frag_cache *cache)
{
	void *fragment = page_frag_alloc(cache, KG_FRAGMENT, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fragment);
	return fragment;
}

/* Use up the page of an empty @cache. Returns how many @fragments it had. */
static int kg_fill(struct kunit *test, struct page_frag_cache *cache, void **fragments)
{
	int i, nr = 1;

	fragments[0] = kg_new_fragment(test, cache);
	nr = page_size(virt_to_head_page(fragments[0])) / KG_FRAGMENT;
	KUNIT_ASSERT_LE(test, nr, KG_MAX_FRAGMENTS);
	for (i = 1; i < nr; i++) {
		fragments[i] = kg_new_fragment(test, cache);
		KUNIT_ASSERT_PTR_EQ(test, virt_to_head_page(fragments[i]),
				    virt_to_head_page(fragments[0]));
	}
	return nr;
}

/*
 * The raw count of the page once its last fragment is free. With interrupts off
 * it stays on this CPU's free list.
 */
static u32 kg_raw_after_free(void *fragment)
{
	struct page *page = virt_to_head_page(fragment);
	unsigned long flags;
	u32 raw;

	local_irq_save(flags);
	page_frag_free(fragment);
	raw = kg_raw(page);
	local_irq_restore(flags);
	return raw;
}

static void fragments_share_the_whole_bias(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *fragments[KG_MAX_FRAGMENTS];
	int nr = kg_fill(test, &cache, fragments);
	struct page *page = virt_to_head_page(fragments[0]);
	int i;

	KUNIT_EXPECT_EQ(test, kg_raw(page), KG_WHOLE_BIAS);
	for (i = 0; i < nr; i++) {
		page_frag_free(fragments[i]);
		KUNIT_EXPECT_EQ(test, kg_raw(page), KG_WHOLE_BIAS - 1 - i);
	}
	kg_page_frag_cache_drain(&cache);
}

static void page_without_fragments_is_used_again(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *fragments[KG_MAX_FRAGMENTS];
	int nr = kg_fill(test, &cache, fragments);
	struct page *page = virt_to_head_page(fragments[0]);
	void *fragment;
	int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < nr; i++)
			page_frag_free(fragments[i]);
		for (i = 0; i < nr; i++) {
			fragment = kg_new_fragment(test, &cache);
			KUNIT_EXPECT_PTR_EQ(test, virt_to_head_page(fragment), page);
			KUNIT_EXPECT_EQ(test, kg_raw(page), KG_WHOLE_BIAS);
			fragments[i] = fragment;
		}
	}
	for (i = 0; i < nr; i++)
		page_frag_free(fragments[i]);
	kg_page_frag_cache_drain(&cache);
}

static void page_with_a_fragment_is_left_to_it(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *fragments[KG_MAX_FRAGMENTS];
	int nr = kg_fill(test, &cache, fragments);
	struct page *page = virt_to_head_page(fragments[0]);
	void *fragment;
	int i;

	for (i = 1; i < nr; i++)
		page_frag_free(fragments[i]);
	fragment = kg_new_fragment(test, &cache);
	KUNIT_EXPECT_PTR_NE(test, virt_to_head_page(fragment), page);
	KUNIT_EXPECT_EQ(test, kg_raw(virt_to_head_page(fragment)), KG_WHOLE_BIAS);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	KUNIT_EXPECT_EQ(test, kg_raw_after_free(fragments[0]), kg_expect.frozen);
	page_frag_free(fragment);
	kg_page_frag_cache_drain(&cache);
}

static void page_with_another_reference_is_left_to_it(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *fragments[KG_MAX_FRAGMENTS];
	int nr = kg_fill(test, &cache, fragments);
	struct page *page = virt_to_head_page(fragments[0]);
	void *fragment;
	int i;

	KUNIT_ASSERT_TRUE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, kg_raw(page), KG_WHOLE_BIAS + 1);
	for (i = 0; i < nr; i++)
		page_frag_free(fragments[i]);
	fragment = kg_new_fragment(test, &cache);
	KUNIT_EXPECT_PTR_NE(test, virt_to_head_page(fragment), page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	put_page(page);
	page_frag_free(fragment);
	kg_page_frag_cache_drain(&cache);
}

static void drain_gives_back_what_it_is_told(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	page_ref_add(page, 9);
	__page_frag_cache_drain(page, 4);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 6U);
	__page_frag_cache_drain(page, 5);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_release(page, 0);
}

static void drain_of_the_rest_frees_page_frozen(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long flags;
	u32 raw;

	KUNIT_ASSERT_NOT_NULL(test, page);
	page_ref_add(page, 0x8000);
	local_irq_save(flags);
	__page_frag_cache_drain(page, 0x8001);
	raw = kg_raw(page);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, raw, kg_expect.frozen);
}

static void drained_cache_leaves_page_to_its_fragments(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *first = kg_new_fragment(test, &cache);
	void *second = kg_new_fragment(test, &cache);
	struct page *page = virt_to_head_page(first);

	if (virt_to_head_page(second) != page)
		kunit_skip(test, "no page of order 3: run it again");
	kg_page_frag_cache_drain(&cache);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	page_frag_free(second);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	KUNIT_EXPECT_EQ(test, kg_raw_after_free(first), kg_expect.frozen);
}

static struct kunit_case kg_page_frag_cases[] = {
	KG_CASE("REF-13", fragments_share_the_whole_bias),
	KG_CASE("REF-13", page_without_fragments_is_used_again),
	KG_CASE("REF-13", page_with_a_fragment_is_left_to_it),
	KG_CASE("REF-13", page_with_another_reference_is_left_to_it),
	KG_CASE("REF-14", drain_gives_back_what_it_is_told),
	KG_CASE("REF-14", drain_of_the_rest_frees_page_frozen),
	KG_CASE("REF-14", drained_cache_leaves_page_to_its_fragments),
	{}
};

static struct kunit_suite kg_page_frag_suite = {
	.name = "page_frag",
	.test_cases = kg_page_frag_cases,
};

kunit_test_suite(kg_page_frag_suite);

MODULE_DESCRIPTION("KUnit: page fragments and their references");
MODULE_LICENSE("GPL");
