// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages whose tails share their struct pages (HVO): from index 64 on they
 * are one page of struct pages, mapped over and over again, and read-only.
 */
#include "kg_hugetlb.h"
#include "kg_poison.h"

/* As many struct pages as fill a page: the first of the shared ones. */
#define KG_SHARED	64

/* From the second page of struct pages on, all 7 are one. */
static void kg_expect_sharing(unsigned long head)
{
	unsigned long shared = kg_memmap(head + KG_SHARED);
	unsigned long pfn;

	for (pfn = head + 2 * KG_SHARED; pfn < head + KG_HUGE_PAGES; pfn += KG_SHARED)
		kg_require(kg_memmap(pfn) == shared,
			   "the huge page %lx does not share struct pages: those of %lx are in page %lx",
			   head, pfn, kg_memmap(pfn));
}

/* Map all of a pool of @pages, which share struct pages. */
static char *kg_map_pool(unsigned long pages)
{
	unsigned long i;
	char *map;

	kg_set_pool(pages);
	map = kg_map_huge(pages);
	for (i = 0; i < pages; i++)
		kg_expect_sharing(kg_pfn_of(map + i * KG_HUGE_SIZE));
	return map;
}

static void get_on_a_shared_tail_fails(void)
{
	static const unsigned long tails[] = { KG_SHARED, 100, 511 };
	unsigned long head, pfn, i;
	unsigned int raw;

	kg_need_sharing();
	head = kg_pfn_of(kg_map_pool(1));
	for (i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		pfn = head + tails[i];
		raw = kg_raw(pfn);
		kg_note("get on tail %lu, raw %08x", tails[i], raw);
		kg_expect(!kg_try_get(pfn), "the get on tail %lu succeeded", tails[i]);
		kg_expect(kg_raw(pfn) == raw, "the get on tail %lu left raw %08x", tails[i],
			  kg_raw(pfn));
	}
}

/* The first pages of as many huge pages, which have been given back. */
static void kg_give_back(unsigned long *heads, unsigned long pages)
{
	unsigned long i;
	char *map;

	map = kg_map_pool(pages);
	for (i = 0; i < pages; i++)
		heads[i] = kg_pfn_of(map + i * KG_HUGE_SIZE);
	kg_unmap_huge(map, pages);
	kg_set_pool(0);
	kg_drain();
}

static void pages_given_back_are_frozen(void)
{
	unsigned long heads[8], i, pfn, free = 0;

	kg_need_sharing();
	kg_give_back(heads, 8);
	for (i = 0; i < 8; i++) {
		for (pfn = heads[i] + KG_SHARED; pfn < heads[i] + KG_HUGE_PAGES; pfn++)
			free += !!(kg_flags(pfn) & KG_BUDDY);
		pfn = heads[i] + KG_SHARED;
		kg_expect(kg_frozen(pfn) || !(kg_flags(pfn) & KG_BUDDY),
			  "page %lx is free with raw %08x", pfn, kg_raw(pfn));
	}
	kg_note("%lu of %lu pages that were shared tails are free", free,
		8 * (KG_HUGE_PAGES - KG_SHARED));
	kg_expect(free > 4 * KG_HUGE_PAGES, "too few are free to have looked at anything");
}

/* A page that looks owned by nobody instead of free is got, put, and so freed once more. */
static void page_given_back_can_be_taken_offline(void)
{
	unsigned long head, pfn;
	int error;

	kg_need_sharing();
	kg_need_memory_failure();
	kg_give_back(&head, 1);
	pfn = head + 100;
	kg_require(kg_flags(pfn) & KG_BUDDY, "pfn %lx is not free", pfn);
	kg_note("soft offline of the free pfn %lx, raw %08x", pfn, kg_raw(pfn));
	error = kg_try_write(KG_SOFT_OFFLINE, pfn * KG_PAGE);
	kg_expect(!error, "it is refused: %s; raw %08x", strerror(error), kg_raw(pfn));
	if (error)
		return;
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

const struct kg_case kg_cases[] = {
	KG_CASE("HVO-01", get_on_a_shared_tail_fails),
	KG_CASE("HVO-02", pages_given_back_are_frozen),
	KG_CASE("HVO-03", page_given_back_can_be_taken_offline),
	{}
};
