/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocating pages that have no reference, as slab and hugetlb do.
 *
 * The functions are not exported, or have no public prototype, so they are
 * looked up by name.
 */
#ifndef KG_FROZEN_H
#define KG_FROZEN_H

#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/topology.h>

#include "compat.h"
#include "symbols.h"

static struct page *(*kg_alloc_frozen_fn)(gfp_t gfp, unsigned int order);
static kg_alloc_frozen_node_fn kg_alloc_frozen_on_fn;
static void (*kg_free_frozen_fn)(struct page *page, unsigned int order);

/* Returns whether this kernel has such an allocation, and has shown where. */
static inline bool kg_find_frozen_alloc(void)
{
	if (!kg_has_frozen_alloc())
		return false;
	kg_alloc_frozen_on_fn = kg_lookup_alloc("__alloc_frozen_pages_noprof",
						"__alloc_frozen_pages");
	kg_free_frozen_fn = kg_lookup("free_frozen_pages");
	/* Without NUMA there is no policy, and this one is inline. */
	kg_alloc_frozen_fn = kg_lookup_alloc("alloc_frozen_pages_noprof", "alloc_frozen_pages");
	return kg_alloc_frozen_on_fn && kg_free_frozen_fn;
}

/* To begin a case with: skips it on a kernel that has no such allocation. */
static inline void kg_need_frozen_alloc(struct kunit *test)
{
	if (!kg_has_frozen_alloc())
		kunit_skip(test, "no frozen allocation before 6.14: run with --base 7.2");
	KUNIT_ASSERT_TRUE(test, kg_find_frozen_alloc());
}

/* The same for kg_alloc_frozen(). */
static inline void kg_need_frozen_policy(struct kunit *test)
{
	kg_need_frozen_alloc(test);
	if (!kg_has_frozen_policy())
		kunit_skip(test, "no frozen allocation by policy yet: run without --upto");
	if (IS_ENABLED(CONFIG_NUMA))
		KUNIT_ASSERT_NOT_NULL(test, kg_alloc_frozen_fn);
}

static inline struct page *kg_alloc_frozen_on(int nid, gfp_t gfp, unsigned int order)
{
	return kg_call_alloc_frozen(kg_alloc_frozen_on_fn, gfp, order, nid);
}

/* The policy of the task decides on which node. */
static inline struct page *kg_alloc_frozen(gfp_t gfp, unsigned int order)
{
	if (!kg_alloc_frozen_fn)
		return kg_alloc_frozen_on(numa_node_id(), gfp, order);
	return kg_alloc_frozen_fn(gfp, order);
}

static inline void kg_free_frozen(struct page *page, unsigned int order)
{
	kg_free_frozen_fn(page, order);
}

#endif
