/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Huge pages: the pool that the system keeps of them, and one that is mapped. In the pool
 * they are frozen, in use they have one reference, their tails are always frozen, and what
 * the allocator gets back is as all that is free.
 */
#ifndef KG_HUGETLB_H
#define KG_HUGETLB_H

#include "kg_tap.h"

#define KG_HUGE_SIZE	(2UL << 20)
#define KG_HUGE_PAGES	(KG_HUGE_SIZE / KG_PAGE)
#define KG_SIZES	"/sys/kernel/mm/hugepages/"
#define KG_POOL		KG_SIZES "hugepages-2048kB/"
#define KG_LOOKS	8192UL

/* To begin a case with that is about shared struct pages. */
static inline void kg_need_sharing(void)
{
	char text[16];

	if (!kg_try_read("/proc/sys/vm/hugetlb_optimize_vmemmap", text, sizeof(text)) ||
	    strtoul(text, NULL, 10) != 1)
		kg_skip("huge pages do not share struct pages: --arch x86_64 --machine hugepages");
}

/* Have so many @pages in the pool of one size, which is the folder @sizes in sysfs. */
static inline void kg_set_pool_of(const char *sizes, unsigned long pages)
{
	char path[96];
	unsigned long got;

	snprintf(path, sizeof(path), "%snr_hugepages", sizes);
	kg_write(path, pages);
	got = kg_read(path);
	kg_require(got == pages, "asked for a pool of %lu huge pages, got %lu", pages, got);
}

static inline void kg_set_pool(unsigned long pages)
{
	kg_set_pool_of(KG_POOL, pages);
}

/* Map @pages huge pages of the pool, and write to each. */
static inline char *kg_map_huge(unsigned long pages)
{
	char *map = mmap(NULL, pages * KG_HUGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	unsigned long i;

	kg_require(map != MAP_FAILED, "%lu huge pages: %s", pages, strerror(errno));
	for (i = 0; i < pages; i++)
		memset(map + i * KG_HUGE_SIZE, 0x5a, KG_PAGE);
	return map;
}

static inline void kg_unmap_huge(char *map, unsigned long pages)
{
	kg_require(!munmap(map, pages * KG_HUGE_SIZE), "munmap: %s", strerror(errno));
}

/* A few of them; the scan that a case ends with, and is made here in between, sees all. */
static inline void kg_expect_tails(unsigned long head, unsigned long pages)
{
	unsigned long i;

	for (i = 1; i < pages; i *= 2)
		kg_expect(kg_frozen(head + i), "tail %lu of %lx has raw %08x", i, head,
			  kg_raw(head + i));
}

static inline void kg_expect_used(unsigned long head, unsigned long pages)
{
	kg_expect(kg_flags(head) & KG_HUGE, "pfn %lx is mapped and no huge page", head);
	kg_expect(kg_raw(head) == 1, "the huge page %lx is in use with raw %08x", head,
		  kg_raw(head));
	kg_expect_tails(head, pages);
}

static inline void kg_expect_pooled(unsigned long head, unsigned long pages)
{
	kg_expect(kg_flags(head) & KG_HUGE, "pfn %lx has left the pool", head);
	kg_expect(kg_frozen(head), "the huge page %lx is in the pool with raw %08x", head,
		  kg_raw(head));
	kg_expect_tails(head, pages);
}

/*
 * What is free of the pages from @first on is frozen; returns how many are. So many of them
 * are looked at that one more takes no time; the scan that a case ends with sees all.
 */
static inline unsigned long kg_expect_freed(unsigned long first, unsigned long pages)
{
	unsigned long step = pages > KG_LOOKS ? pages / KG_LOOKS : 1;
	unsigned long pfn, free = 0, wrong = 0;

	for (pfn = first; pfn < first + pages; pfn += step) {
		kg_expect(!(kg_flags(pfn) & KG_HUGE), "pfn %lx is a huge page still", pfn);
		if (!(kg_flags(pfn) & KG_BUDDY))
			continue;
		free += step;
		wrong += !kg_frozen(pfn);
	}
	kg_expect(!wrong, "%lu of %lu free pages from %lx on are not frozen", wrong, free, first);
	return free;
}

#endif
