/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In which state the pages of each user are, a column a kind of tree:
 *
 *	user            6.1, 6.12   frozen-pages on 6.1, patch    7.2, 7.3
 *	                            1 to 14     15      16
 *	slab (SLUB)     counted     counted   counted  frozen     frozen
 *	slab (SLAB)     counted     counted   frozen   frozen     -
 *	large kmalloc   counted     counted   counted  counted    frozen
 *	others          counted     counted   counted  counted    counted
 *
 * Counted is one reference; frozen is what expect.h says it is. The column is that of the
 * tree that the module is built against, which compat.h reads off its sources: the series'
 * own text says which patch changes what, and KERNEL-NOTES A.1 which release did.
 */
#ifndef KG_PAGE_STATE_H
#define KG_PAGE_STATE_H

#include <kunit/test.h>
#include <linux/mm.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"

enum kg_user { KG_SLAB_PAGES, KG_LARGE_KMALLOC_PAGES, KG_OTHER_PAGES };

static inline bool kg_user_is_frozen(enum kg_user user)
{
	switch (user) {
	case KG_SLAB_PAGES:
		return kg_slab_is_frozen();
	case KG_LARGE_KMALLOC_PAGES:
		return kg_has_large_kmalloc();
	default:
		return false;
	}
}

/* The head of the pages is as its user's are, and its tails, if any, are frozen. */
static inline bool kg_in_state(const struct page *head, enum kg_user user)
{
	unsigned long i, nr = compound_nr((struct page *)head);
	u32 raw = kg_raw(head);

	if (kg_user_is_frozen(user) ? !kg_is_frozen(raw) : raw != 1)
		return false;
	for (i = 1; i < nr; i++) {
		if (!kg_is_frozen(kg_raw(head + i)))
			return false;
	}
	return true;
}

static inline void kg_expect_state(struct kunit *test, const struct page *head, enum kg_user user)
{
	KUNIT_EXPECT_TRUE_MSG(test, kg_in_state(head, user),
			      "pfn %lx, order %u: raw %08x, asked for %s and frozen tails",
			      page_to_pfn(head), compound_order((struct page *)head), kg_raw(head),
			      kg_user_is_frozen(user) ? "a frozen one" : "one reference");
}

#endif
