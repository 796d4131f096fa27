/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hook before each operation of page_ref.h that can be a second one.
 *
 * To be included before anything that reads page_ref.h. The operations are replaced
 * by ones that first call kg_hook(), which whoever includes this defines: so the
 * header's own code is tested, in an order that a race would hit once in a long
 * while. It is a compare-and-exchange in version 4 of the frozen-bit series; the
 * others are there for a version that does it in another way. An addition that
 * returns the sum is the first operation of a get, unless that looks before it adds.
 */
#ifndef KG_HOOK_H
#define KG_HOOK_H

#include <linux/atomic.h>

#ifdef _LINUX_PAGE_REF_H
#error "page_ref.h was read before its atomic operations were replaced"
#endif

static void kg_hook(const atomic_t *count);

#define KG_HOOKED(function, v, ...) \
	({ atomic_t *kg_v = (v); kg_hook(kg_v); function(kg_v, __VA_ARGS__); })
/* The same for those that store: what they store has been computed by then. */
#define KG_HOOKED_STORE(function, v, i) \
	({ atomic_t *kg_v = (v); int kg_i = (i); kg_hook(kg_v); function(kg_v, kg_i); })
/* The same for those that take the value first. */
#define KG_HOOKED_LAST(function, i, v) \
	({ atomic_t *kg_v = (v); kg_hook(kg_v); function(i, kg_v); })

#define atomic_cmpxchg(v, ...)	KG_HOOKED(atomic_cmpxchg, v, __VA_ARGS__)
#define atomic_cmpxchg_acquire(v, ...)	KG_HOOKED(atomic_cmpxchg_acquire, v, __VA_ARGS__)
#define atomic_cmpxchg_release(v, ...)	KG_HOOKED(atomic_cmpxchg_release, v, __VA_ARGS__)
#define atomic_cmpxchg_relaxed(v, ...)	KG_HOOKED(atomic_cmpxchg_relaxed, v, __VA_ARGS__)
#define atomic_try_cmpxchg(v, ...)	KG_HOOKED(atomic_try_cmpxchg, v, __VA_ARGS__)
#define atomic_try_cmpxchg_acquire(v, ...) KG_HOOKED(atomic_try_cmpxchg_acquire, v, __VA_ARGS__)
#define atomic_try_cmpxchg_release(v, ...) KG_HOOKED(atomic_try_cmpxchg_release, v, __VA_ARGS__)
#define atomic_try_cmpxchg_relaxed(v, ...) KG_HOOKED(atomic_try_cmpxchg_relaxed, v, __VA_ARGS__)
#define atomic_set(v, i)		KG_HOOKED_STORE(atomic_set, v, i)
#define atomic_xchg(v, i)		KG_HOOKED_STORE(atomic_xchg, v, i)
#define atomic_xchg_relaxed(v, i)	KG_HOOKED_STORE(atomic_xchg_relaxed, v, i)
#define atomic_add(i, v)		KG_HOOKED_LAST(atomic_add, i, v)
#ifdef KG_HAVE_LOOK_BEFORE_ADD
#define atomic_add_return(i, v)		KG_HOOKED_LAST(atomic_add_return, i, v)
#endif
#define atomic_sub(i, v)		KG_HOOKED_LAST(atomic_sub, i, v)
#define atomic_sub_return(i, v)		KG_HOOKED_LAST(atomic_sub_return, i, v)
#define atomic_sub_return_relaxed(i, v)	KG_HOOKED_LAST(atomic_sub_return_relaxed, i, v)
#define atomic_and(i, v)		KG_HOOKED_LAST(atomic_and, i, v)
#define atomic_andnot(i, v)		KG_HOOKED_LAST(atomic_andnot, i, v)
#define atomic_or(i, v)		KG_HOOKED_LAST(atomic_or, i, v)
#define atomic_fetch_sub(i, v)		KG_HOOKED_LAST(atomic_fetch_sub, i, v)
#define atomic_fetch_and(i, v)		KG_HOOKED_LAST(atomic_fetch_and, i, v)
#define atomic_fetch_or(i, v)		KG_HOOKED_LAST(atomic_fetch_or, i, v)

#endif
