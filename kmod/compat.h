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

#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/limits.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/nodemask.h>
#include <linux/page-isolation.h>
#include <linux/page_ref.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/xarray.h>
#ifdef KG_HAVE_PAGE_FRAG_CACHE_H
#include <linux/page_frag_cache.h>
#endif

#include "symbols.h"

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

/* The same of a folio, as get_user_pages_fast() calls it. */
static inline bool kg_folio_try_add(struct folio *folio, int nr)
{
#ifdef KG_HAVE_TRY_ADD_RCU
	return folio_ref_try_add_rcu(folio, nr);
#else
	return folio_ref_try_add(folio, nr);
#endif
}

/* Freeze a page that nobody else knows of, through the header's own function. */
static inline void kg_set_frozen(struct page *page)
{
#ifdef KG_HAVE_SET_FROZEN
	set_page_count_frozen(page);
#else
	set_page_count(page, 0);
#endif
}

/* How many references the gve driver of this tree takes on each of its pages. */
#ifdef KG_HAVE_GVE_BIAS
#define KG_GVE_BIAS	(INT_MAX / 4)
#else
#define KG_GVE_BIAS	INT_MAX
#endif

/* Has KUnit a process for a case that asks for one (since 6.11)? */
static inline bool kg_has_user_mappings(void)
{
#ifdef KG_HAVE_KUNIT_MMAP
	return true;
#else
	return false;
#endif
}

/* @file mapped by that process; 0 where it has none, or the mapping fails. */
static inline unsigned long kg_user_mapping(struct kunit *test, struct file *file,
					    unsigned long size, unsigned long flags)
{
#ifdef KG_HAVE_KUNIT_MMAP
	return kunit_vm_mmap(test, file, 0, size, PROT_READ | PROT_WRITE, flags, 0);
#else
	return 0;
#endif
}

/* Memory of that process, which is nobody else's. */
static inline unsigned long kg_user_memory(struct kunit *test, unsigned long size)
{
	return kg_user_mapping(test, NULL, size, MAP_ANONYMOUS | MAP_PRIVATE);
}

/* The largest order of a page allocation; until 6.3 MAX_ORDER was one more. */
#if defined(MAX_PAGE_ORDER)
#define KG_MAX_ORDER	MAX_PAGE_ORDER
#else
#define KG_MAX_ORDER	(pageblock_order < 10 ? pageblock_order : 10)
#endif

/* Can pages be allocated without a reference (since 6.14)? */
static inline bool kg_has_frozen_alloc(void)
{
#ifdef KG_HAVE_FROZEN_ALLOC
	return true;
#else
	return false;
#endif
}

/* And by the memory policy of the task? Of the sixteen patches for 6.1 a later one than that. */
static inline bool kg_has_frozen_policy(void)
{
#ifdef KG_HAVE_FROZEN_POLICY
	return true;
#else
	return false;
#endif
}

/* Slab came to use that in the same release; of those patches the last, an allocator each. */
static inline bool kg_slab_is_frozen(void)
{
#if defined(CONFIG_SLAB) ? defined(KG_HAVE_FROZEN_SLAB) : defined(KG_HAVE_FROZEN_SLUB)
	return true;
#else
	return false;
#endif
}

/* The function's name, before and since memory allocation profiling (6.10). */
static inline void *kg_lookup_alloc(const char *name, const char *older_name)
{
	void *found = kg_lookup(name);

	return found ? found : kg_lookup(older_name);
}

/* __alloc_frozen_pages_noprof() got allocation flags in 7.3; 0 is the default. */
#ifdef KG_HAVE_ALLOC_FLAGS
typedef struct page *(*kg_alloc_frozen_node_fn)(gfp_t gfp, unsigned int order, int nid,
						nodemask_t *nodes, unsigned int flags);
#define kg_call_alloc_frozen(call, gfp, order, nid)	((call)(gfp, order, nid, NULL, 0))
#else
typedef struct page *(*kg_alloc_frozen_node_fn)(gfp_t gfp, unsigned int order, int nid,
						nodemask_t *nodes);
#define kg_call_alloc_frozen(call, gfp, order, nid)	((call)(gfp, order, nid, NULL))
#endif

/* Fill the array; returns how many pages it got. Renamed in 6.14. */
static inline unsigned long kg_alloc_bulk(gfp_t gfp, int nr, struct page **pages)
{
#ifdef KG_HAVE_BULK_ARRAY
	return alloc_pages_bulk_array(gfp, nr, pages);
#else
	return alloc_pages_bulk(gfp, nr, pages);
#endif
}

/* The same from one node, whatever the policy. */
static inline unsigned long kg_alloc_bulk_on(int nid, gfp_t gfp, int nr, struct page **pages)
{
#ifdef KG_HAVE_BULK_ARRAY
	return alloc_pages_bulk_array_node(gfp, nid, nr, pages);
#else
	return alloc_pages_bulk_node(gfp, nid, nr, pages);
#endif
}

/* Into a list; gone in 6.14. */
static inline bool kg_has_bulk_list(void)
{
#ifdef KG_HAVE_BULK_LIST
	return true;
#else
	return false;
#endif
}

static inline unsigned long kg_alloc_bulk_list(gfp_t gfp, int nr, struct list_head *pages)
{
#ifdef KG_HAVE_BULK_LIST
	return alloc_pages_bulk_list(gfp, nr, pages);
#else
	return 0;
#endif
}

/* An allocation that takes no lock; NULL where there is none (before 6.15). */
static inline struct page *kg_alloc_nolock(int nid, unsigned int order)
{
#if defined(KG_HAVE_NOLOCK_GFP)
	return alloc_pages_nolock(0, nid, order);
#elif defined(KG_HAVE_NOLOCK)
	return alloc_pages_nolock(nid, order);
#else
	return NULL;
#endif
}

static inline bool kg_has_alloc_nolock(void)
{
#ifdef KG_HAVE_NOLOCK
	return true;
#else
	return false;
#endif
}

/* The cache gives back its own references; before 6.10 callers did that by hand. */
static inline void kg_page_frag_cache_drain(struct page_frag_cache *cache)
{
#ifdef KG_HAVE_PAGE_FRAG_CACHE_DRAIN
	page_frag_cache_drain(cache);
#else
	__page_frag_cache_drain(virt_to_head_page(cache->va), cache->pagecnt_bias);
#endif
}

/* A range of frozen pages, and its way back. Public since 7.0, if configured. */
static inline bool kg_has_contig_frozen(void)
{
#if defined(KG_HAVE_CONTIG_FROZEN) && defined(CONFIG_CONTIG_ALLOC)
	return true;
#else
	return false;
#endif
}

static inline struct page *kg_alloc_contig_frozen(unsigned long nr, gfp_t gfp, int nid)
{
#if defined(KG_HAVE_CONTIG_FROZEN) && defined(CONFIG_CONTIG_ALLOC)
	return alloc_contig_frozen_pages(nr, gfp, nid, NULL);
#else
	return NULL;
#endif
}

static inline void kg_free_contig_frozen(struct page *page, unsigned long nr)
{
#if defined(KG_HAVE_CONTIG_FROZEN) && defined(CONFIG_CONTIG_ALLOC)
	free_contig_frozen_range(page_to_pfn(page), nr);
#endif
}

/*
 * The order of a huge page in the page cache that can be split to single pages; up
 * to 6.14 only as far as two levels of the tree reach.
 */
#ifdef KG_HAVE_XAS_TRY_SPLIT
#define KG_SPLIT_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#else
#define KG_SPLIT_ORDER	min(PMD_SHIFT - PAGE_SHIFT, 2 * XA_CHUNK_SHIFT - 1)
#endif

/*
 * Split the huge page into pages, and keep the lock on this one. Not exported;
 * renamed twice, in 6.9 together with an argument for the order to split to.
 */
static inline bool kg_can_split(void)
{
	return kg_lookup("__split_huge_page_to_list_to_order") ||
	       kg_lookup("split_huge_page_to_list_to_order") ||
	       kg_lookup("split_huge_page_to_list");
}

static inline int kg_split(struct page *page)
{
	int (*to_order)(struct page *page, struct list_head *list, unsigned int order);
	int (*to_pages)(struct page *page, struct list_head *list);

	to_order = kg_lookup("__split_huge_page_to_list_to_order");
	if (!to_order)
		to_order = kg_lookup("split_huge_page_to_list_to_order");
	if (to_order)
		return to_order(page, NULL, 0);
	to_pages = kg_lookup("split_huge_page_to_list");
	return to_pages ? to_pages(page, NULL) : -EOPNOTSUPP;
}

/*
 * Isolate pageblocks from the allocator as if they were to go offline, and undo that.
 * Not exported. What it is for was a flag and a type of pageblock until it became one mode.
 */
static inline int kg_isolate(unsigned long pfn, unsigned long nr)
{
#ifdef KG_HAVE_ISOLATE_MODE
	int (*isolate)(unsigned long start, unsigned long end, enum pb_isolate_mode mode);

	isolate = kg_lookup("start_isolate_page_range");
	return isolate ? isolate(pfn, pfn + nr, PB_ISOLATE_MODE_MEM_OFFLINE) : -EOPNOTSUPP;
#else
	int (*isolate)(unsigned long start, unsigned long end, int type, int flags, gfp_t gfp);

	isolate = kg_lookup("start_isolate_page_range");
	if (!isolate)
		return -EOPNOTSUPP;
	return isolate(pfn, pfn + nr, MIGRATE_UNMOVABLE, MEMORY_OFFLINE, GFP_KERNEL);
#endif
}

static inline void kg_undo_isolate(unsigned long pfn, unsigned long nr)
{
#ifdef KG_HAVE_ISOLATE_MODE
	void (*undo)(unsigned long start, unsigned long end);

	undo = kg_lookup("undo_isolate_page_range");
	if (undo)
		undo(pfn, pfn + nr);
#else
	void (*undo)(unsigned long start, unsigned long end, int type);

	undo = kg_lookup("undo_isolate_page_range");
	if (undo)
		undo(pfn, pfn + nr, MIGRATE_UNMOVABLE);
#endif
}

/* Idle pages of persistent memory have had no reference since 6.15, and one before that. */
static inline bool kg_idle_dax_is_frozen(void)
{
#ifdef KG_HAVE_DAX_IDLE
	return true;
#else
	return false;
#endif
}

/*
 * Up to 6.x an optimised huge page keeps one page of struct pages, which all of them
 * share: every 64th, from the second page on, is the head's own struct page over
 * again, and what it counts are the head's references.
 */
static inline bool kg_page_is_fake_head(const struct page *page)
{
#ifdef KG_HAVE_FAKE_HEADS
	return page_is_fake_head((struct page *)page);
#else
	return false;
#endif
}

/* Who asks for a page of his own to be poisoned is told at once (MCEERR_AR) since 6.11. */
static inline bool kg_poisoner_is_told(void)
{
#ifdef KG_HAVE_POISONER_IS_TOLD
	return true;
#else
	return false;
#endif
}

/* Whose device page @pfn is, kept from going until put_dev_pagemap(). */
static inline struct dev_pagemap *kg_get_dev_pagemap(unsigned long pfn)
{
#ifdef KG_HAVE_DEV_PAGEMAP_OF_PFN
	return get_dev_pagemap(pfn);
#else
	return get_dev_pagemap(pfn, NULL);
#endif
}

/* A slab object by an allocation that takes no lock; NULL where there is none (before 6.18). */
static inline bool kg_has_kmalloc_nolock(void)
{
#ifdef KG_HAVE_NOLOCK_KMALLOC
	return true;
#else
	return false;
#endif
}

static inline void *kg_kmalloc_nolock(size_t size)
{
#ifdef KG_HAVE_NOLOCK_KMALLOC
	return kmalloc_nolock(size, 0, NUMA_NO_NODE);
#else
	return NULL;
#endif
}

static inline void kg_kfree_nolock(const void *object)
{
#ifdef KG_HAVE_NOLOCK_KMALLOC
	kfree_nolock(object);
#endif
}

/* Does get_page() refuse slabs, with a warning (since 6.14)? */
static inline bool kg_get_page_refuses_slabs(void)
{
#ifdef KG_HAVE_GET_PAGE_REFUSES_SLABS
	return true;
#else
	return false;
#endif
}

/*
 * Somebody who gives memory back when it is scarce, and is asked to give much at once
 * (seeks 0). Allocated by the kernel since 6.7. NULL where it fails.
 */
typedef unsigned long (*kg_shrink_fn)(struct shrinker *shrinker, struct shrink_control *control);

#ifdef KG_HAVE_SHRINKER_ALLOC
static inline struct shrinker *kg_add_shrinker(kg_shrink_fn count, kg_shrink_fn scan)
{
	struct shrinker *shrinker = shrinker_alloc(0, "kg");

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = 0;
	shrinker_register(shrinker);
	return shrinker;
}

static inline void kg_remove_shrinker(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}
#else
static inline struct shrinker *kg_add_shrinker(kg_shrink_fn count, kg_shrink_fn scan)
{
	static struct shrinker shrinker;

	shrinker = (struct shrinker){ .count_objects = count, .scan_objects = scan };
	return register_shrinker(&shrinker, "kg") ? NULL : &shrinker;
}

static inline void kg_remove_shrinker(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
}
#endif

/* In a shrinker: so many pages went back to the allocator. */
static inline void kg_account_reclaimed(unsigned long pages)
{
#ifdef KG_HAVE_ACCOUNT_RECLAIMED
	mm_account_reclaimed_pages(pages);
#else
	if (current->reclaim_state)
		current->reclaim_state->reclaimed_slab += pages;
#endif
}

/* RCU's full note of a moment; it got another name in 7.3. */
#ifdef KG_HAVE_RCU_GP_SEQ
#define KG_RCU_STATE	struct rcu_gp_seq
#else
#define KG_RCU_STATE	struct rcu_gp_oldstate
#endif

/* Who has pages of a device is told of a folio that is free; in 6.12, of a page. */
#ifdef KG_HAVE_FOLIO_FREE
#define KG_FREED	folio_free
#define KG_FREED_STRUCT	struct folio

static inline struct page *kg_freed_page(struct folio *freed)
{
	return &freed->page;
}
#else
#define KG_FREED	page_free
#define KG_FREED_STRUCT	struct page

static inline struct page *kg_freed_page(struct page *freed)
{
	return freed;
}
#endif

#ifdef CONFIG_ZONE_DEVICE
/* Hand out a page of a device, with one reference and locked. */
static inline void kg_device_page_init(struct page *page, struct dev_pagemap *pgmap)
{
#ifdef KG_HAVE_INIT_OF_PGMAP
	zone_device_page_init(page, pgmap, 0);
#else
	zone_device_page_init(page);
#endif
}
#endif

/* What is woken up when a page of persistent memory comes to be idle. */
static inline void *kg_dax_waits_on(struct page *page)
{
#ifdef KG_HAVE_DAX_IDLE
	return page;
#else
	return &page->_refcount;
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

/* Who can use memory of another device says so since 6.2; before, such memory was never mapped. */
#ifdef KG_HAVE_FOLL_PCI_P2PDMA
#define KG_FOLL_PCI_P2PDMA	FOLL_PCI_P2PDMA
#else
#define KG_FOLL_PCI_P2PDMA	0
#endif

#endif
