// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pageblock that is free but for one slab page: may it be isolated, as memory is that goes
 * offline? Nobody can move a slab. One that has a reference is seen, and refused at once.
 * A frozen one looks like a page on its way through the allocator: the block is isolated, and
 * offlining goes on until it is interrupted.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/slab.h>

#include "compat.h"
#include "expect.h"
#include "hoard.h"
#include "kg.h"
#include "page_state.h"

/* Somebody else may take a page of the block before it is isolated: another block then. */
#define KG_BLOCKS	16
/* One slab after the other, until a page of the block is under one. */
#define KG_SLABS	64
#define KG_NO_PAGE	pageblock_nr_pages

static struct kmem_cache *kg_caches[KG_SLABS];
static void *kg_objects[KG_SLABS];

static void kg_construct(void *object)
{
}

/*
 * Free page @i of @block and have it taken for a slab, as the page that was freed last on
 * this CPU. Returns whether it was.
 */
static bool kg_make_slab_of(struct page *block, unsigned long i)
{
	kg_caches[i] = kmem_cache_create("kg", 64, 0, 0, kg_construct);
	if (!kg_caches[i])
		return false;
	preempt_disable();
	__free_page(block + i);
	kg_objects[i] = kmem_cache_alloc(kg_caches[i], GFP_NOWAIT | __GFP_NOWARN);
	preempt_enable();
	return kg_objects[i] && PageSlab(block + i);
}

static void kg_drop_caches(void)
{
	int i;

	for (i = 0; i < KG_SLABS; i++) {
		if (kg_objects[i])
			kmem_cache_free(kg_caches[i], kg_objects[i]);
		kmem_cache_destroy(kg_caches[i]);
		kg_objects[i] = NULL;
		kg_caches[i] = NULL;
	}
}

/* All of @block goes back but one page under a slab; returns which, or KG_NO_PAGE. */
static unsigned long kg_free_but_a_slab(struct page *block)
{
	unsigned long slab = KG_NO_PAGE, i;

	for (i = 0; i < KG_SLABS && slab == KG_NO_PAGE; i++) {
		if (kg_make_slab_of(block, i))
			slab = i;
	}
	for (; i < pageblock_nr_pages; i++)
		__free_page(block + i);
	kg_drain_all();
	return slab;
}

/* Has somebody else taken a page of the block meanwhile? */
static bool kg_others_are_in(struct page *block, unsigned long slab)
{
	unsigned long i, step;

	for (i = 0; i < pageblock_nr_pages; i += step) {
		step = PageBuddy(block + i) ? 1UL << page_private(block + i) : 1;
		if (i != slab && !kg_is_frozen(kg_raw(block + i)))
			return true;
	}
	return false;
}

/* 0, or the error; -EAGAIN where the block is not what it was made to be. */
static int kg_try_to_isolate(struct kunit *test)
{
	struct page *block = alloc_pages(GFP_KERNEL, pageblock_order);
	unsigned long slab;
	int error;

	if (!block)
		return -ENOMEM;
	split_page(block, pageblock_order);
	slab = kg_free_but_a_slab(block);
	if (slab == KG_NO_PAGE || kg_others_are_in(block, slab))
		return -EAGAIN;
	kg_expect_state(test, block + slab, KG_SLAB_PAGES);
	error = kg_isolate(page_to_pfn(block), pageblock_nr_pages);
	if (!error)
		kg_undo_isolate(page_to_pfn(block), pageblock_nr_pages);
	KUNIT_EXPECT_TRUE(test, PageSlab(block + slab));
	kg_expect_state(test, block + slab, KG_SLAB_PAGES);
	return error;
}

static void only_a_frozen_slab_page_goes_unseen(struct kunit *test)
{
	int tries, error = -EAGAIN;

	for (tries = 0; tries < KG_BLOCKS && error == -EAGAIN; tries++) {
		error = kg_try_to_isolate(test);
		kg_drop_caches();
	}
	KUNIT_ASSERT_NE(test, error, -EAGAIN);
	KUNIT_EXPECT_EQ(test, error, kg_user_is_frozen(KG_SLAB_PAGES) ? 0 : -EBUSY);
}

static struct kunit_case kg_isolation_cases[] = {
	KG_CASE("OFFL-01", only_a_frozen_slab_page_goes_unseen),
	{}
};

static struct kunit_suite kg_isolation_suite = {
	.name = "isolation",
	.test_cases = kg_isolation_cases,
};

kunit_test_suite(kg_isolation_suite);

MODULE_DESCRIPTION("KUnit: isolation of a block that has a slab page");
MODULE_LICENSE("GPL");
