// SPDX-License-Identifier: GPL-2.0-only
/*
 * On which node the kernel takes pages for a task, by each of the policies that the task
 * can ask for, with one reference and frozen.
 */
#include "kg_nodes.h"
#include "kg_take.h"

#define KG_PAGES	32
#define KG_WEIGHTS	"/sys/kernel/mm/mempolicy/weighted_interleave/"
/* Of four pages three are on the first node. */
#define KG_HEAVY	3
#define KG_CYCLE	(KG_HEAVY + 1)
#define KG_BOTH		3UL
#define KG_SECOND	2UL

/* Newer than the headers that programs are built with (include/uapi/linux/mempolicy.h, 7.2). */
#define KG_PREFERRED_MANY	5
#define KG_WEIGHTED_INTERLEAVE	6

static struct kg_taken kg_taken[KG_MOST_TAKEN];

/* Returns 0 or the error. */
static int kg_set_policy(int mode, unsigned long nodes)
{
	return syscall(SYS_set_mempolicy, mode, &nodes, 8 * sizeof(nodes)) ? errno : 0;
}

/* Take pages by the policy of @mode for @nodes, a bit each. */
static void kg_take_by(int mode, unsigned long nodes, enum kg_how how)
{
	int error = kg_set_policy(mode, nodes);

	kg_require(!error, "policy %d: %s", mode, strerror(error));
	kg_take(kg_taken, how, "kernel", 0, KG_PAGES);
	kg_require(!kg_set_policy(MPOL_DEFAULT, 0), "no default policy: %s", strerror(errno));
}

static void kg_expect_all_on(int node)
{
	unsigned long i, elsewhere = 0;

	for (i = 0; i < KG_PAGES; i++)
		elsewhere += kg_taken[i].node != node;
	kg_expect(!elsewhere, "%lu of %d pages are not on node %d", elsewhere, KG_PAGES, node);
}

static long kg_interleave_hits(void)
{
	return kg_field("/sys/devices/system/node/node0/numastat", "interleave_hit") +
	       kg_field("/sys/devices/system/node/node1/numastat", "interleave_hit");
}

static void kg_check_interleave(enum kg_how how)
{
	unsigned long i, stayed = 0;
	long hits;

	kg_need_two_nodes();
	kg_need_frozen_policy(how);
	hits = kg_interleave_hits();
	kg_take_by(MPOL_INTERLEAVE, KG_BOTH, how);
	for (i = 1; i < KG_PAGES; i++)
		stayed += kg_taken[i].node == kg_taken[i - 1].node;
	kg_expect(!stayed, "%lu of %d pages are on the node of the one before", stayed, KG_PAGES);
	hits = kg_interleave_hits() - hits;
	kg_expect(hits >= KG_PAGES, "%ld interleaved pages were counted of %d", hits, KG_PAGES);
	kg_give();
}

static void interleaved_pages_take_turns(void)
{
	kg_check_interleave(KG_COUNTED);
}

static void interleaved_frozen_pages_take_turns(void)
{
	kg_check_interleave(KG_FROZEN_PAGES);
}

static void kg_need_weights(void)
{
	if (access(KG_WEIGHTS "node0", F_OK))
		kg_skip("no weighted interleaving before 6.9: run with --base 7.2");
	kg_write(KG_WEIGHTS "node0", KG_HEAVY);
	kg_write(KG_WEIGHTS "node1", 1);
}

/* However far the first cycle was when it began, of each four in a row one is on the second. */
static void kg_check_weighted(enum kg_how how)
{
	unsigned long i, j, light, wrong = 0;

	kg_need_two_nodes();
	kg_need_frozen_policy(how);
	kg_need_weights();
	kg_take_by(KG_WEIGHTED_INTERLEAVE, KG_BOTH, how);
	for (i = 0; i + KG_CYCLE <= KG_PAGES; i++) {
		for (light = 0, j = i; j < i + KG_CYCLE; j++)
			light += kg_taken[j].node == 1;
		wrong += light != 1;
	}
	kg_expect(!wrong, "%lu times four pages in a row are not %d to 1", wrong, KG_HEAVY);
	kg_give();
}

static void weighted_pages_follow_the_weights(void)
{
	kg_check_weighted(KG_COUNTED);
}

static void weighted_frozen_pages_follow_the_weights(void)
{
	kg_check_weighted(KG_FROZEN_PAGES);
}

/* What is preferred is given while it is there, and the other node's when it is not. */
static void kg_check_preferred(int mode, enum kg_how how)
{
	kg_need_two_nodes();
	kg_need_frozen_policy(how);
	kg_take_by(mode, KG_SECOND, how);
	kg_expect_all_on(1);
	kg_give();

	kg_write(KG_PROBE "hoard", 1);
	kg_take_by(mode, KG_SECOND, how);
	kg_expect_all_on(0);
	kg_give();
}

static void preferred_node_comes_first(void)
{
	kg_check_preferred(MPOL_PREFERRED, KG_COUNTED);
}

static void preferred_node_comes_first_with_frozen_pages(void)
{
	kg_check_preferred(MPOL_PREFERRED, KG_FROZEN_PAGES);
}

static void preferred_nodes_come_in_the_first_pass(void)
{
	kg_check_preferred(KG_PREFERRED_MANY, KG_COUNTED);
}

static void preferred_nodes_come_in_the_first_pass_with_frozen_pages(void)
{
	kg_check_preferred(KG_PREFERRED_MANY, KG_FROZEN_PAGES);
}

const struct kg_case kg_cases[] = {
	KG_CASE("NUMA-02", interleaved_pages_take_turns),
	KG_CASE("NUMA-02", interleaved_frozen_pages_take_turns),
	KG_CASE("NUMA-03", weighted_pages_follow_the_weights),
	KG_CASE("NUMA-03", weighted_frozen_pages_follow_the_weights),
	KG_CASE("NUMA-05", preferred_node_comes_first),
	KG_CASE("NUMA-05", preferred_node_comes_first_with_frozen_pages),
	KG_CASE("NUMA-06", preferred_nodes_come_in_the_first_pass),
	KG_CASE("NUMA-06", preferred_nodes_come_in_the_first_pass_with_frozen_pages),
	{}
};
