// SPDX-License-Identifier: GPL-2.0-only
/*
 * A huge page of 1 GiB, reserved at boot before there is a page allocator, of
 * which all struct pages but the first 64 are shared (HVO).
 */
#include "kg_hugetlb.h"

#define KG_GIGANTIC	"/sys/kernel/mm/hugepages/hugepages-1048576kB/"
#define KG_GIGANTIC_PAGES (512 * KG_HUGE_PAGES)

/* The gigantic page that the system was booted with. */
static unsigned long kg_gigantic(void)
{
	const unsigned long long head = KG_HUGE | KG_COMPOUND_HEAD;
	unsigned long pfn;
	char text[16];

	if (!kg_try_read(KG_GIGANTIC "nr_hugepages", text, sizeof(text)) ||
	    strtoul(text, NULL, 10) != 1)
		kg_skip("no huge page of 1 GiB: --arch x86_64 --machine hugepages-1g");
	for (pfn = 0; (kg_flags(pfn) & head) != head; pfn += KG_GIGANTIC_PAGES)
		;
	return pfn;
}

static void huge_pages_of_a_demoted_one_are_frozen(void)
{
	unsigned long head, pfn;

	kg_need_sharing();
	head = kg_gigantic();
	kg_write(KG_GIGANTIC "demote", 1);
	kg_require(kg_read(KG_POOL "nr_hugepages") == 512, "%lu huge pages came of it",
		   kg_read(KG_POOL "nr_hugepages"));
	for (pfn = head; pfn < head + KG_GIGANTIC_PAGES; pfn += KG_HUGE_PAGES) {
		kg_require(kg_flags(pfn) & KG_COMPOUND_HEAD, "pfn %lx heads no huge page", pfn);
		kg_require(kg_frozen(pfn), "the free huge page %lx has raw %08x", pfn, kg_raw(pfn));
		kg_require(!kg_try_get(pfn), "the get on the free huge page %lx succeeded", pfn);
	}
}

static void tails_of_a_page_reserved_at_boot_are_frozen(void)
{
	unsigned long head = kg_gigantic();
	unsigned long pfn;

	kg_need_sharing();
	kg_expect(kg_frozen(head), "the head has raw %08x", kg_raw(head));
	for (pfn = head + 1; pfn < head + KG_HUGE_PAGES; pfn++) {
		kg_require(kg_flags(pfn) & KG_COMPOUND_TAIL, "pfn %lx is no tail", pfn);
		kg_require(kg_frozen(pfn), "tail %lu has raw %08x", pfn - head, kg_raw(pfn));
	}
	kg_expect(kg_field(KG_PROBE "scan", "tails") >= (long)KG_GIGANTIC_PAGES - 1,
		  "the scan saw no %lu tails", KG_GIGANTIC_PAGES - 1);
}

const struct kg_case kg_cases[] = {
	KG_CASE("HVO-04", huge_pages_of_a_demoted_one_are_frozen),
	KG_CASE("HVO-05", tails_of_a_page_reserved_at_boot_are_frozen),
	{}
};
