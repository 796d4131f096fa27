// SPDX-License-Identifier: GPL-2.0-only
/*
 * On which node a page is, with and without a reference.
 */
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/topology.h>

#include "compat.h"
#include "expect.h"
#include "frozen.h"
#include "kg.h"

#define KG_PAGES	32
#define KG_GFP		(GFP_KERNEL | __GFP_NOWARN)

static void kg_need_two_nodes_with_memory(struct kunit *test)
{
	if (num_node_state(N_MEMORY) < 2)
		kunit_skip(test, "needs two nodes with memory: run on --machine smp4-numa2");
}

/* A node that is online and has no memory. */
static int kg_need_memoryless_node(struct kunit *test)
{
	int nid;

	for_each_online_node(nid) {
		if (!node_state(nid, N_MEMORY))
			return nid;
	}
	kunit_skip(test, "needs a node without memory: run on --machine numa-memoryless");
	return NUMA_NO_NODE;
}

/* Check that @page came as an owned page, and on @nid; give it back. */
static void kg_check_owned(struct kunit *test, struct page *page, int nid)
{
	KUNIT_EXPECT_NOT_NULL_MSG(test, page, "node %d", nid);
	if (!page)
		return;
	KUNIT_EXPECT_EQ(test, page_to_nid(page), nid);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	__free_page(page);
}

static void kg_check_frozen(struct kunit *test, struct page *page, int nid)
{
	KUNIT_EXPECT_NOT_NULL_MSG(test, page, "node %d", nid);
	if (!page)
		return;
	KUNIT_EXPECT_EQ(test, page_to_nid(page), nid);
	KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(page)));
	kg_free_frozen(page, 0);
}

static void pages_are_on_the_node_asked_for(struct kunit *test)
{
	int nid, i;

	kg_need_two_nodes_with_memory(test);
	for_each_node_state(nid, N_MEMORY) {
		for (i = 0; i < KG_PAGES; i++) {
			kg_check_owned(test, alloc_pages_node(nid, KG_GFP, 0), nid);
			kg_check_owned(test, alloc_pages_node(nid, KG_GFP | __GFP_THISNODE, 0),
				       nid);
		}
	}
}

static void frozen_pages_are_on_the_node_asked_for(struct kunit *test)
{
	int nid, i;

	kg_need_two_nodes_with_memory(test);
	kg_need_frozen_alloc(test);
	for_each_node_state(nid, N_MEMORY) {
		for (i = 0; i < KG_PAGES; i++) {
			kg_check_frozen(test, kg_alloc_frozen_on(nid, KG_GFP, 0), nid);
			kg_check_frozen(test, kg_alloc_frozen_on(nid, KG_GFP | __GFP_THISNODE, 0),
					nid);
		}
	}
}

/* What set_mempolicy(MPOL_BIND) does, which modules cannot call. */
static void kg_bind_to(struct mempolicy *policy, int nid)
{
	*policy = (struct mempolicy){
		.refcnt = ATOMIC_INIT(1),
		.mode = MPOL_BIND,
		.nodes = nodemask_of_node(nid),
		.home_node = NUMA_NO_NODE,
	};
	task_lock(current);
	current->mempolicy = policy;
	task_unlock(current);
}

static void kg_unbind(void)
{
	task_lock(current);
	current->mempolicy = NULL;
	task_unlock(current);
}

static void bound_task_gets_pages_of_its_node(struct kunit *test)
{
	struct mempolicy policy;
	struct page *page;
	int nid, i;

	kg_need_two_nodes_with_memory(test);
	for_each_node_state(nid, N_MEMORY) {
		for (i = 0; i < KG_PAGES; i++) {
			kg_bind_to(&policy, nid);
			page = alloc_pages(KG_GFP, 0);
			kg_unbind();
			kg_check_owned(test, page, nid);
		}
	}
}

static void bound_task_gets_frozen_pages_of_its_node(struct kunit *test)
{
	struct mempolicy policy;
	struct page *page;
	int nid, i;

	kg_need_two_nodes_with_memory(test);
	kg_need_frozen_policy(test);
	for_each_node_state(nid, N_MEMORY) {
		for (i = 0; i < KG_PAGES; i++) {
			kg_bind_to(&policy, nid);
			page = kg_alloc_frozen(KG_GFP, 0);
			kg_unbind();
			kg_check_frozen(test, page, nid);
		}
	}
}

/* Binding is a wish that a call for one node overrides. */
static void explicit_node_overrides_binding(struct kunit *test)
{
	int bound = first_node(node_states[N_MEMORY]);
	int other = next_node(bound, node_states[N_MEMORY]);
	struct mempolicy policy;
	struct page *page;

	kg_need_two_nodes_with_memory(test);
	kg_bind_to(&policy, bound);
	page = alloc_pages_node(other, KG_GFP | __GFP_THISNODE, 0);
	kg_unbind();
	kg_check_owned(test, page, other);
}

static int kg_distance_of_nearest_memory(int from)
{
	int nid, nearest = INT_MAX;

	for_each_node_state(nid, N_MEMORY)
		nearest = min(nearest, node_distance(from, nid));
	return nearest;
}

static void kg_expect_fallback(struct kunit *test, const struct page *page, int from)
{
	int nid = page_to_nid(page);

	KUNIT_EXPECT_NE(test, nid, from);
	KUNIT_EXPECT_TRUE(test, node_state(nid, N_MEMORY));
	KUNIT_EXPECT_EQ(test, node_distance(from, nid), kg_distance_of_nearest_memory(from));
}

static void memoryless_node_falls_back_to_nearest(struct kunit *test)
{
	int nid = kg_need_memoryless_node(test);
	struct page *page = alloc_pages_node(nid, KG_GFP, 0);

	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_expect_fallback(test, page, nid);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	__free_page(page);
}

static void memoryless_node_falls_back_with_frozen_pages(struct kunit *test)
{
	int nid = kg_need_memoryless_node(test);
	struct page *page;

	kg_need_frozen_alloc(test);
	page = kg_alloc_frozen_on(nid, KG_GFP, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	kg_expect_fallback(test, page, nid);
	KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(page)));
	kg_free_frozen(page, 0);
}

static void memoryless_node_alone_has_nothing_to_give(struct kunit *test)
{
	int nid = kg_need_memoryless_node(test);

	KUNIT_EXPECT_NULL(test, alloc_pages_node(nid, KG_GFP | __GFP_THISNODE, 0));
}

/* Run the rest of the case on a CPU of @nid; the task of a case ends with it. */
static void kg_move_to_node(struct kunit *test, int nid)
{
	if (cpumask_empty(cpumask_of_node(nid)))
		kunit_skip(test, "node %d has no CPU: run on --machine numa-memoryless", nid);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of_node(nid)), 0);
}

static void task_on_memoryless_node_gets_pages(struct kunit *test)
{
	int nid = kg_need_memoryless_node(test);
	struct page *page;
	int i;

	kg_move_to_node(test, nid);
	KUNIT_EXPECT_EQ(test, numa_node_id(), nid);
	for (i = 0; i < KG_PAGES; i++) {
		page = alloc_page(KG_GFP);
		KUNIT_ASSERT_NOT_NULL(test, page);
		kg_expect_fallback(test, page, nid);
		KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
		__free_page(page);
	}
}

static void task_on_memoryless_node_gets_frozen_pages(struct kunit *test)
{
	int nid = kg_need_memoryless_node(test);
	struct page *page;
	int i;

	kg_need_frozen_policy(test);
	kg_move_to_node(test, nid);
	for (i = 0; i < KG_PAGES; i++) {
		page = kg_alloc_frozen(KG_GFP, 0);
		KUNIT_ASSERT_NOT_NULL(test, page);
		kg_expect_fallback(test, page, nid);
		KUNIT_EXPECT_TRUE(test, kg_is_frozen(kg_raw(page)));
		kg_free_frozen(page, 0);
	}
}

static struct kunit_case kg_numa_cases[] = {
	KG_CASE("NUMA-01", pages_are_on_the_node_asked_for),
	KG_CASE("NUMA-01", frozen_pages_are_on_the_node_asked_for),
	KG_CASE("NUMA-04", bound_task_gets_pages_of_its_node),
	KG_CASE("NUMA-04", bound_task_gets_frozen_pages_of_its_node),
	KG_CASE("NUMA-04", explicit_node_overrides_binding),
	KG_CASE("NUMA-08", memoryless_node_falls_back_to_nearest),
	KG_CASE("NUMA-08", memoryless_node_falls_back_with_frozen_pages),
	KG_CASE("NUMA-08", memoryless_node_alone_has_nothing_to_give),
	KG_CASE("NUMA-08", task_on_memoryless_node_gets_pages),
	KG_CASE("NUMA-08", task_on_memoryless_node_gets_frozen_pages),
	{}
};

static struct kunit_suite kg_numa_suite = {
	.name = "numa",
	.test_cases = kg_numa_cases,
};

kunit_test_suite(kg_numa_suite);

MODULE_DESCRIPTION("KUnit: on which node a page is");
MODULE_LICENSE("GPL");
