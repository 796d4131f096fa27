/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The expected values of the count, one column a variant of the kernel.
 *
 * They are stated from what the series says of itself ("mm: improve folio
 * refcount scalability", v4) and written as numbers: a wrong constant in the
 * header under test has to be noticed, so none is taken from there. Only which
 * variant this is, is read off the header.
 *
 *	unpatched	a frozen page has the count 0
 *	asserts		the same, with assertions (patch 1)
 *	frozen_bit	a frozen page has bit 31 set; the other bits hold what
 *			failed gets have left there, until one reaches the
 *			limit and resets them (patch 2)
 */
#ifndef KG_EXPECT_H
#define KG_EXPECT_H

#include <linux/kconfig.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/types.h>

#define KG_FROZEN_BIT		0x80000000U
#define KG_FROZEN_LIMIT		0xC0000000U

struct kg_expect {
	const char *variant;
	/* The raw count of a page just frozen, or just put for the last time. */
	u32 frozen;
	/* Frozen is a bit of the count, and not the value 0. */
	bool bit;
	/* A last put is more than one operation; a get may come between them. */
	bool put_in_two_steps;
	/*
	 * It looks, and exchanges if nothing has changed; else it does so again.
	 * A put that is not the last one goes the same way.
	 */
	bool put_is_a_loop;
	/* A get adds only if the count it has looked at may be added to. */
	bool get_looks_first;
};

static const struct kg_expect kg_expect = {
#if defined(PAGEREF_FROZEN_BIT)
	.variant = "frozen_bit",
	.frozen = 0x80000000U,
	.bit = true,
	.put_in_two_steps = true,
#ifdef KG_HAVE_ONE_STEP_PUT
	.put_is_a_loop = true,
#endif
#ifdef KG_HAVE_LOOK_BEFORE_ADD
	.get_looks_first = true,
#endif
#elif defined(KG_HAVE_ADD_UNLESS_FROZEN)
	.variant = "asserts",
	.frozen = 0,
#else
	.variant = "unpatched",
	.frozen = 0,
#endif
};

static inline bool kg_is_frozen(u32 raw)
{
	return kg_expect.bit ? raw & KG_FROZEN_BIT : raw == 0;
}

/* What page_ref_count() and its relatives say of a page with this raw count. */
static inline int kg_count(u32 raw)
{
	return kg_is_frozen(raw) ? 0 : (int)raw;
}

/*
 * May a failed get of @nr on a frozen page turn the raw count @before into
 * @after? Without the bit it writes nothing. With the bit it adds, and from the
 * limit on resets the page to plainly frozen; one that looks before it adds,
 * and so writes nothing, keeps the promise as well.
 */
static inline bool kg_failed_get_leaves(u32 before, u32 nr, u32 after)
{
	if (after == before)
		return true;
	if (!kg_expect.bit)
		return false;
	return after == (before + nr < KG_FROZEN_LIMIT ? before + nr : 0x80000000U);
}

#endif
