/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Huge pages: the pool that the system keeps of them, and one that is mapped.
 */
#ifndef KG_HUGETLB_H
#define KG_HUGETLB_H

#include "kg_tap.h"

#define KG_HUGE_SIZE	(2UL << 20)
#define KG_HUGE_PAGES	(KG_HUGE_SIZE / KG_PAGE)
#define KG_POOL		"/sys/kernel/mm/hugepages/hugepages-2048kB/"

/* To begin a case with that is about shared struct pages. */
static inline void kg_need_sharing(void)
{
	char text[16];

	if (!kg_try_read("/proc/sys/vm/hugetlb_optimize_vmemmap", text, sizeof(text)) ||
	    strtoul(text, NULL, 10) != 1)
		kg_skip("huge pages do not share struct pages: --arch x86_64 --machine hugepages");
}

static inline void kg_set_pool(unsigned long pages)
{
	unsigned long got;

	kg_write(KG_POOL "nr_hugepages", pages);
	got = kg_read(KG_POOL "nr_hugepages");
	kg_require(got == pages, "asked for a pool of %lu huge pages, got %lu", pages, got);
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

#endif
