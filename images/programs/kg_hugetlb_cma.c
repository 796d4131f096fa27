// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of 1 GiB that the pool has of a contiguous area which is kept for them. They are
 * not touched: that would take an emulated CPU a second each.
 */
#include "kg_hugetlb.h"

#define KG_GIGANTIC		KG_SIZES "hugepages-1048576kB/"
#define KG_GIGANTIC_PAGES	((1UL << 30) / KG_PAGE)
#define KG_AREA			"/sys/kernel/debug/cma/hugetlb0/"
#define KG_ROUNDS		2

/* hugetlb_cma_reserve() of 6.1 aligns the area to the smaller huge pages. */
static void kg_need_area(void)
{
	if (access(KG_AREA, F_OK))
		kg_skip("no area is kept for huge pages: run on --machine hugetlb-cma");
	kg_require(kg_read(KG_AREA "count") == KG_GIGANTIC_PAGES, "the area is not of one page");
	if (kg_read(KG_AREA "base_pfn") % KG_GIGANTIC_PAGES)
		kg_skip("this kernel puts the area where no huge page begins: run with --base 7.2");
}

/* What the area has back can be had again. */
static void gigantic_page_of_an_area_comes_and_goes(void)
{
	unsigned long head, free;
	int round;

	kg_need_area();
	head = kg_read(KG_AREA "base_pfn");
	for (round = 0; round < KG_ROUNDS; round++) {
		kg_set_pool_of(KG_GIGANTIC, 1);
		kg_expect_pooled(head, KG_GIGANTIC_PAGES);
		kg_expect_invariant();
		kg_set_pool_of(KG_GIGANTIC, 0);
		kg_drain();
		free = kg_expect_freed(head, KG_GIGANTIC_PAGES);
		kg_expect(free > KG_GIGANTIC_PAGES / 2, "only %lu of its pages are free", free);
	}
}

const struct kg_case kg_cases[] = {
	KG_CASE("HTLB-02", gigantic_page_of_an_area_comes_and_goes),
	{}
};
