/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between kernels. This is the only place that knows them: the
 * tests have no conditional compilation of their own.
 *
 * KG_HAVE_* come from Kbuild, which looks into the headers of the kernel that
 * the modules are built against.
 */
#ifndef KG_COMPAT_H
#define KG_COMPAT_H

#include <linux/mm.h>
#include <linux/page_ref.h>

/*
 * The conditional get. Renamed by the first patch of the frozen-bit series; up
 * to 6.12 the value that refuses was an argument.
 */
static inline bool kg_try_add(struct page *page, int nr)
{
#if defined(KG_HAVE_ADD_UNLESS_FROZEN)
	return page_ref_add_unless_frozen(page, nr);
#elif defined(KG_HAVE_ADD_UNLESS_ZERO)
	return page_ref_add_unless_zero(page, nr);
#else
	return page_ref_add_unless(page, nr, 0);
#endif
}

/* Are slab pages allocated without a reference (6.14), or with one? */
static inline bool kg_slab_is_frozen(void)
{
#ifdef KG_HAVE_FROZEN_ALLOC
	return true;
#else
	return false;
#endif
}

/* Large kmalloc pages have a type of their own, and no reference, since 6.15. */
static inline bool kg_has_large_kmalloc(void)
{
#ifdef KG_HAVE_LARGE_KMALLOC
	return true;
#else
	return false;
#endif
}

static inline bool kg_page_is_large_kmalloc(const struct page *page)
{
#ifdef KG_HAVE_LARGE_KMALLOC
	return PageLargeKmalloc(page);
#else
	return false;
#endif
}

#endif
