/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moving pages between two nodes of memory.
 */
#ifndef KG_NODES_H
#define KG_NODES_H

#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "kg_tap.h"

static inline void kg_need_two_nodes(void)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		kg_skip("needs two nodes of memory: run on --machine smp4-numa2");
}

/* The node of the page at ADDRESS; below 0 where there is none. */
static inline int kg_node_of(void *address)
{
	int node = -ENOENT;

	if (syscall(SYS_move_pages, 0, 1UL, &address, NULL, &node, 0) < 0)
		return -errno;
	return node;
}

/* Move the page at ADDRESS, whoever else maps it, to the other node. */
static inline bool kg_move(void *address)
{
	int status = -ENOENT, node = !kg_node_of(address);

	if (syscall(SYS_move_pages, 0, 1UL, &address, &node, &status, MPOL_MF_MOVE_ALL) < 0)
		return false;
	return status == node;
}

#endif
