// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation of frozen pages, and of pages with one reference.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/vmalloc.h>

/* mm/internal.h of the kernel under test, for set_page_refcounted(). */
#include "internal.h"

#include "compat.h"
#include "expect.h"
#include "frozen.h"
#include "kg.h"
#include "scan.h"

#define KG_BULK			64
#define KG_GFP			(GFP_KERNEL | __GFP_NOWARN)

/*
 * All @nr pages are frozen. Not that they have one raw value: the bit outlives
 * the page's freeing, and so does what failed gets have left beside it.
 */
static void kg_expect_frozen(struct kunit *test, const struct page *page,
			     unsigned long nr)
{
	unsigned long i, wrong = 0;
	u32 raw = kg_expect.frozen;

	for (i = 0; i < nr; i++) {
		if (kg_is_frozen(kg_raw(page + i)))
			continue;
		raw = kg_raw(page + i);
		wrong++;
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0UL, "of %lu pages from pfn %lx; one has raw %08x",
			    nr, page_to_pfn(page), raw);
}

static void kg_expect_one_reference_each(struct kunit *test,
					 const struct page *page, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, kg_raw(page + i), 1U);
}

/* A new page belongs to nobody: no type, no flag, no mapping, not mapped. */
static void kg_expect_pristine(struct kunit *test, struct page *page)
{
	unsigned long flags = *(unsigned long *)&page->flags;

	KUNIT_EXPECT_EQ_MSG(test, flags & PAGE_FLAGS_CHECK_AT_FREE, 0UL,
			    "flags %lx", flags);
	KUNIT_EXPECT_FALSE(test, PageBuddy(page));
	KUNIT_EXPECT_FALSE(test, PageSlab(page));
	KUNIT_EXPECT_EQ(test, atomic_read(&page->_mapcount), -1);
	KUNIT_EXPECT_NULL(test, page->mapping);
}

static void kg_expect_compound(struct kunit *test, struct page *head,
			       unsigned int order)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < 1UL << order; i++)
		wrong += compound_head(head + i) != head;
	KUNIT_EXPECT_EQ(test, wrong, 0UL);
	KUNIT_EXPECT_EQ(test, compound_order(head), order);
	KUNIT_EXPECT_EQ(test, !!PageHead(head), order > 0);
}

static void kg_check_frozen(struct kunit *test, int nid, gfp_t gfp, unsigned int order)
{
	struct page *page = kg_alloc_frozen_on(nid, gfp | __GFP_THISNODE, order);

	KUNIT_EXPECT_NOT_NULL_MSG(test, page, "node %d, order %u", nid, order);
	if (!page)
		return;
	KUNIT_EXPECT_EQ(test, page_to_nid(page), nid);
	kg_expect_frozen(test, page, 1UL << order);
	KUNIT_EXPECT_EQ(test, page_count(page), 0);
	kg_expect_pristine(test, page);
	kg_expect_compound(test, page, gfp & __GFP_COMP ? order : 0);
	kg_free_frozen(page, order);
}

static void kg_check_frozen_everywhere(struct kunit *test, gfp_t gfp)
{
	unsigned int order;
	int nid, checked = 0;

	for_each_node_state(nid, N_MEMORY) {
		for (order = 0; order <= KG_MAX_ORDER; order++, checked++)
			kg_check_frozen(test, nid, gfp, order);
	}
	KUNIT_EXPECT_GE(test, checked, (int)KG_MAX_ORDER + 1);
}

static void pages_of_every_order_on_every_node_are_frozen(struct kunit *test)
{
	kg_need_frozen_alloc(test);
	kg_check_frozen_everywhere(test, KG_GFP);
	kg_expect_invariant(test);
}

static void policy_allocation_of_every_order_is_frozen(struct kunit *test)
{
	struct page *page;
	unsigned int order;

	kg_need_frozen_policy(test);
	for (order = 0; order <= KG_MAX_ORDER; order++) {
		page = kg_alloc_frozen(KG_GFP, order);
		KUNIT_EXPECT_NOT_NULL_MSG(test, page, "order %u", order);
		if (!page)
			continue;
		kg_expect_frozen(test, page, 1UL << order);
		kg_free_frozen(page, order);
	}
	kg_expect_invariant(test);
}

static void frozen_page_with_failed_gets_is_freed(struct kunit *test)
{
	struct page *page;
	int i, j;

	kg_need_frozen_policy(test);
	for (i = 0; i < 100; i++) {
		page = kg_alloc_frozen(KG_GFP, 2);
		KUNIT_ASSERT_NOT_NULL(test, page);
		for (j = 0; j < 4; j++)
			KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page + j));
		kg_free_frozen(page, 2);
	}
	/* Whoever is next does not see what the gets have left. */
	page = alloc_pages(KG_GFP, 2);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	__free_pages(page, 2);
	kg_expect_invariant(test);
}

static void compound_pages_of_every_order_on_every_node_are_frozen(struct kunit *test)
{
	kg_need_frozen_alloc(test);
	kg_check_frozen_everywhere(test, KG_GFP | __GFP_COMP);
	kg_expect_invariant(test);
}

static void zeroed_compound_pages_are_frozen_and_zero(struct kunit *test)
{
	struct page *page;

	kg_need_frozen_policy(test);
	page = kg_alloc_frozen(KG_GFP | __GFP_COMP | __GFP_ZERO, 3);
	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_expect_frozen(test, page, 8);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, 8 * PAGE_SIZE));
	kg_free_frozen(page, 3);
}

static void alloc_pages_gives_one_reference(struct kunit *test)
{
	struct page *page;
	unsigned int order;

	for (order = 0; order <= KG_MAX_ORDER; order++) {
		page = alloc_pages(KG_GFP, order);
		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		KUNIT_EXPECT_EQ(test, page_count(page), 1);
		kg_expect_pristine(test, page);
		/* The others of a block that is no compound page stay frozen. */
		kg_expect_frozen(test, page + 1, (1UL << order) - 1);
		__free_pages(page, order);
	}
}

static void alloc_pages_node_gives_one_reference(struct kunit *test)
{
	struct page *page;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		page = alloc_pages_node(nid, KG_GFP | __GFP_COMP, 1);
		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		kg_expect_frozen(test, page + 1, 1);
		__free_pages(page, 1);
	}
}

static void folio_alloc_gives_one_reference(struct kunit *test)
{
	struct folio *folio = folio_alloc(KG_GFP, 2);

	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_EXPECT_EQ(test, kg_raw(&folio->page), 1U);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	folio_put(folio);
}

static void bulk_array_gives_one_reference_each(struct kunit *test)
{
	struct page *pages[KG_BULK] = {};
	unsigned long nr, i;

	nr = kg_alloc_bulk(KG_GFP, KG_BULK, pages);
	KUNIT_EXPECT_GT(test, nr, 1UL);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ(test, kg_raw(pages[i]), 1U);
		__free_page(pages[i]);
	}
}

static void exact_allocation_gives_one_reference_each(struct kunit *test)
{
	/* Three of the four pages of a block: it is split, and one goes back. */
	void *memory = alloc_pages_exact(3 * PAGE_SIZE, KG_GFP);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	kg_expect_one_reference_each(test, virt_to_page(memory), 3);
	free_pages_exact(memory, 3 * PAGE_SIZE);
	kg_expect_invariant(test);
}

static void nolock_allocation_gives_one_reference(struct kunit *test)
{
	struct page *page;

	if (!kg_has_alloc_nolock())
		kunit_skip(test, "no alloc_pages_nolock() before 6.15: run with --base 7.2");
	page = kg_alloc_nolock(NUMA_NO_NODE, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_expect_frozen(test, page + 1, 1);
	put_page(page);
}

static void page_frag_leaves_one_reference_per_fragment(struct kunit *test)
{
	struct page_frag_cache cache = {};
	void *first = page_frag_alloc(&cache, 128, KG_GFP);
	void *second = page_frag_alloc(&cache, 128, KG_GFP);
	struct page *page;

	KUNIT_ASSERT_NOT_NULL(test, first);
	KUNIT_ASSERT_NOT_NULL(test, second);
	page = virt_to_head_page(first);
	KUNIT_EXPECT_PTR_EQ(test, virt_to_head_page(second), page);
	kg_page_frag_cache_drain(&cache);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 2U);
	page_frag_free(first);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	page_frag_free(second);
}

static void vmalloc_gives_one_reference_each(struct kunit *test)
{
	void *memory = vmalloc(5 * PAGE_SIZE);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_EQ(test, kg_raw(vmalloc_to_page(memory + i * PAGE_SIZE)), 1U);
	vfree(memory);
}

static void frozen_page_becomes_refcounted_and_is_put(struct kunit *test)
{
	struct page *page;
	unsigned int order;

	kg_need_frozen_policy(test);
	for (order = 0; order <= 4; order++) {
		page = kg_alloc_frozen(KG_GFP | __GFP_COMP, order);
		KUNIT_ASSERT_NOT_NULL(test, page);
		kg_expect_frozen(test, page, 1UL << order);
		/* DEBUG_VM dies of the rest where this is not so. */
		KUNIT_ASSERT_FALSE(test, get_page_unless_zero(page));

		set_page_refcounted(page);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		KUNIT_EXPECT_TRUE(test, get_page_unless_zero(page));
		put_page(page);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		put_page(page);
	}
	kg_expect_invariant(test);
}

static void kg_need_contig_frozen(struct kunit *test)
{
	if (!kg_has_contig_frozen())
		kunit_skip(test, "no contiguous frozen allocation: run with --base 7.2");
}

static void contiguous_range_is_frozen(struct kunit *test)
{
	unsigned long nr = 512 + 3;
	struct page *page;

	kg_need_contig_frozen(test);
	page = kg_alloc_contig_frozen(nr, KG_GFP, numa_mem_id());
	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_expect_frozen(test, page, nr);
	kg_free_contig_frozen(page, nr);
	kg_expect_invariant(test);
}

static void contiguous_compound_page_is_frozen(struct kunit *test)
{
	struct page *page;

	kg_need_contig_frozen(test);
	page = kg_alloc_contig_frozen(512, KG_GFP | __GFP_COMP, numa_mem_id());
	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_expect_frozen(test, page, 512);
	kg_expect_compound(test, page, 9);
	kg_free_contig_frozen(page, 512);
	kg_expect_invariant(test);
}

static struct kunit_case kg_frozen_alloc_cases[] = {
	KG_CASE("FP-01", pages_of_every_order_on_every_node_are_frozen),
	KG_CASE("FP-01", policy_allocation_of_every_order_is_frozen),
	KG_CASE("FP-01", frozen_page_with_failed_gets_is_freed),
	KG_CASE("FP-02", compound_pages_of_every_order_on_every_node_are_frozen),
	KG_CASE("FP-02", zeroed_compound_pages_are_frozen_and_zero),
	KG_CASE("FP-03", alloc_pages_gives_one_reference),
	KG_CASE("FP-03", alloc_pages_node_gives_one_reference),
	KG_CASE("FP-03", folio_alloc_gives_one_reference),
	KG_CASE("FP-03", bulk_array_gives_one_reference_each),
	KG_CASE("FP-03", exact_allocation_gives_one_reference_each),
	KG_CASE("FP-03", nolock_allocation_gives_one_reference),
	KG_CASE("FP-03", page_frag_leaves_one_reference_per_fragment),
	KG_CASE("FP-03", vmalloc_gives_one_reference_each),
	KG_CASE("FP-04", frozen_page_becomes_refcounted_and_is_put),
	KG_CASE("FP-05", contiguous_range_is_frozen),
	KG_CASE("FP-05", contiguous_compound_page_is_frozen),
	{}
};

static struct kunit_suite kg_frozen_alloc_suite = {
	.name = "frozen_alloc",
	.test_cases = kg_frozen_alloc_cases,
};

kunit_test_suite(kg_frozen_alloc_suite);

MODULE_DESCRIPTION("KUnit: pages allocated frozen, and with one reference");
MODULE_LICENSE("GPL");
