// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages on their way: from the allocator into the pool, from there to a process, and
 * back.
 */
#include "kg_hugetlb.h"

#define KG_NR		4UL

/* Pages too large for the allocator's lists, of a size that arm64 has with pages of 4 KiB. */
#define KG_GIGANTIC		KG_SIZES "hugepages-32768kB/"
#define KG_GIGANTIC_SHIFT	25
#define KG_GIGANTIC_SIZE	(32UL << 20)
#define KG_GIGANTIC_PAGES	(KG_GIGANTIC_SIZE / KG_PAGE)
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT		26
#endif

static void pages_of_the_pool_come_and_go(void)
{
	unsigned long heads[KG_NR], i, free = 0;
	char *map;

	kg_set_pool(KG_NR);
	map = kg_map_huge(KG_NR);
	for (i = 0; i < KG_NR; i++) {
		heads[i] = kg_pfn_of(map + i * KG_HUGE_SIZE);
		kg_expect_used(heads[i], KG_HUGE_PAGES);
	}
	kg_expect_invariant();
	kg_unmap_huge(map, KG_NR);
	for (i = 0; i < KG_NR; i++)
		kg_expect_pooled(heads[i], KG_HUGE_PAGES);
	kg_set_pool(0);
	kg_drain();
	for (i = 0; i < KG_NR; i++)
		free += kg_expect_freed(heads[i], KG_HUGE_PAGES);
	kg_expect(free, "none of their pages is free, so that nothing was looked at");
}

static void surplus_pages_come_and_go(void)
{
	unsigned long heads[KG_NR], i, surplus, free = 0;
	char *map;

	kg_set_pool(0);
	kg_write(KG_POOL "nr_overcommit_hugepages", KG_NR);
	map = kg_map_huge(KG_NR);
	surplus = kg_read(KG_POOL "surplus_hugepages");
	kg_expect(surplus == KG_NR, "%lu of %lu huge pages are surplus", surplus, KG_NR);
	for (i = 0; i < KG_NR; i++) {
		heads[i] = kg_pfn_of(map + i * KG_HUGE_SIZE);
		kg_expect_used(heads[i], KG_HUGE_PAGES);
	}
	kg_unmap_huge(map, KG_NR);
	surplus = kg_read(KG_POOL "surplus_hugepages");
	kg_expect(!surplus, "%lu huge pages are surplus that nobody uses", surplus);
	kg_drain();
	for (i = 0; i < KG_NR; i++)
		free += kg_expect_freed(heads[i], KG_HUGE_PAGES);
	kg_expect(free, "none of their pages is free, so that nothing was looked at");
}

static void kg_need_gigantic(void)
{
	if (access(KG_GIGANTIC, F_OK))
		kg_skip("no gigantic page fits into this memory: run with --arch arm64");
}

static char *kg_map_gigantic(void)
{
	char *map = mmap(NULL, KG_GIGANTIC_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			 KG_GIGANTIC_SHIFT << MAP_HUGE_SHIFT, -1, 0);

	kg_require(map != MAP_FAILED, "a gigantic page: %s", strerror(errno));
	*map = 'x';
	return map;
}

static void gigantic_page_comes_and_goes(void)
{
	unsigned long head, free;
	char *map;

	kg_need_gigantic();
	kg_set_pool_of(KG_GIGANTIC, 1);
	map = kg_map_gigantic();
	head = kg_pfn_of(map);
	kg_expect_used(head, KG_GIGANTIC_PAGES);
	kg_require(!munmap(map, KG_GIGANTIC_SIZE), "munmap: %s", strerror(errno));
	kg_expect_pooled(head, KG_GIGANTIC_PAGES);
	kg_expect_invariant();
	kg_set_pool_of(KG_GIGANTIC, 0);
	kg_drain();
	free = kg_expect_freed(head, KG_GIGANTIC_PAGES);
	kg_expect(free > KG_GIGANTIC_PAGES / 2, "only %lu of its pages are free", free);
}

static void gigantic_page_is_demoted(void)
{
	unsigned long head, i, pages = KG_GIGANTIC_PAGES / KG_HUGE_PAGES, got;
	char *map;

	kg_need_gigantic();
	kg_set_pool(0);
	kg_set_pool_of(KG_GIGANTIC, 1);
	map = kg_map_gigantic();
	head = kg_pfn_of(map);
	kg_require(!munmap(map, KG_GIGANTIC_SIZE), "munmap: %s", strerror(errno));
	/* To the next size that there is, which is the pool's. */
	kg_require(!kg_try_write_text(KG_GIGANTIC "demote_size", "2M"), "demote_size refuses 2M");
	kg_write(KG_GIGANTIC "demote", 1);
	got = kg_read(KG_POOL "nr_hugepages");
	kg_require(got == pages, "demoted into %lu huge pages, not %lu", got, pages);
	for (i = 0; i < pages; i++)
		kg_expect_pooled(head + i * KG_HUGE_PAGES, KG_HUGE_PAGES);
	kg_expect_invariant();
	map = kg_map_huge(pages);
	for (i = 0; i < pages; i++)
		kg_expect_used(kg_pfn_of(map + i * KG_HUGE_SIZE), KG_HUGE_PAGES);
	kg_unmap_huge(map, pages);
	kg_set_pool(0);
	kg_drain();
	kg_expect(kg_expect_freed(head, KG_GIGANTIC_PAGES), "none of its pages is free");
}

const struct kg_case kg_cases[] = {
	KG_CASE("HTLB-01", pages_of_the_pool_come_and_go),
	KG_CASE("HTLB-02", gigantic_page_comes_and_goes),
	KG_CASE("HTLB-03", gigantic_page_is_demoted),
	KG_CASE("HTLB-04", surplus_pages_come_and_go),
	{}
};
