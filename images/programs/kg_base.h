/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels, and a case expects accordingly. The modules know it, by
 * features of the tree that they were built against (kmod/compat.h); this asks them.
 */
#ifndef KG_BASE_H
#define KG_BASE_H

#include "kg_tap.h"

static inline bool kg_base(const char *name)
{
	long value = kg_field(KG_PROBE "base", name);

	kg_require(value >= 0, "the probe does not know of %s", name);
	return value;
}

/*
 * Pages of persistent memory are frozen where nobody uses them, and each mapping has a
 * reference: since 6.15. Before, the file system has one for good, and a mapping none.
 */
static inline bool kg_idle_dax_is_frozen(void)
{
	return kg_base("idle_dax_is_frozen");
}

/* Who asks for a page of his own to be poisoned is told at once, not when he uses it. */
static inline bool kg_poisoner_is_told(void)
{
	return kg_base("poisoner_is_told");
}

#endif
