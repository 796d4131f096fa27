// SPDX-License-Identifier: GPL-2.0-only
/*
 * A contiguous area of memory, allocated from by hand: its pages have one
 * reference each while they are out, and are frozen before and after.
 */
#include <glob.h>

#include "kg_tap.h"

#define KG_AREAS	"/sys/kernel/debug/cma/*"

static char kg_area[256];

static const char *kg_in_area(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", kg_area, name);
	return path;
}

static void kg_find_area(void)
{
	glob_t found;

	if (glob(KG_AREAS, 0, NULL, &found))
		kg_skip("no contiguous area: --machine cma");
	snprintf(kg_area, sizeof(kg_area), "%s", found.gl_pathv[0]);
	globfree(&found);
	kg_note("%s has %lu pages, %lu of them out", kg_area, kg_read(kg_in_area("count")),
		kg_read(kg_in_area("used")));
}

/* The first page that is out: the first bit set of words of 32. */
static unsigned long kg_first_out(void)
{
	static char text[65536];
	unsigned long bit = 0, word;
	char *rest = text;

	kg_require(kg_try_read(kg_in_area("bitmap"), text, sizeof(text)), "bitmap: %s",
		   strerror(errno));
	for (;; bit += 32) {
		kg_require(*rest >= '0' && *rest <= '9', "no page is out: %s", rest);
		word = strtoul(rest, &rest, 10);
		if (word)
			return kg_read(kg_in_area("base_pfn")) + bit + __builtin_ctzl(word);
		rest += strspn(rest, "\n ");
	}
}

static void kg_take_and_give_back(unsigned long pages)
{
	unsigned long pfn, first;

	kg_write(kg_in_area("alloc"), pages);
	kg_require(kg_read(kg_in_area("used")) == pages, "%lu pages are out instead of %lu",
		   kg_read(kg_in_area("used")), pages);
	first = kg_first_out();
	for (pfn = first; pfn < first + pages; pfn++)
		kg_expect(kg_raw(pfn) == 1, "pfn %lx is out with raw %08x", pfn, kg_raw(pfn));
	kg_expect(!kg_scan_bad(), "pages are not frozen while %lu are out", pages);
	kg_write(kg_in_area("free"), pages);
	kg_expect(kg_read(kg_in_area("used")) == 0, "not all of %lu pages came back", pages);
	kg_drain();
	for (pfn = first; pfn < first + pages; pfn++)
		kg_expect(kg_frozen(pfn) || !(kg_flags(pfn) & KG_BUDDY),
			  "pfn %lx is free with raw %08x", pfn, kg_raw(pfn));
}

static void pages_of_an_area_come_and_go(void)
{
	static const unsigned long sizes[] = { 1, 16, 512, 1000 };
	unsigned long i;

	kg_find_area();
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		kg_take_and_give_back(sizes[i]);
}

const struct kg_case kg_cases[] = {
	KG_CASE("CMA-01", pages_of_an_area_come_and_go),
	{}
};
