// SPDX-License-Identifier: GPL-2.0-only
/*
 * A contiguous area of memory, allocated from by hand: its pages have one
 * reference each while they are out, and are frozen before and after.
 */
#include <glob.h>

#include "kg_tap.h"

#define KG_AREAS	"/sys/kernel/debug/cma/*"
/* Bits for an area of 256 MiB. */
#define KG_WORDS	2048

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

/* Which pages are out, a bit each. */
static void kg_read_bitmap(unsigned int *words)
{
	static char text[65536];
	char *rest = text;
	unsigned long i;

	kg_require(kg_try_read(kg_in_area("bitmap"), text, sizeof(text)), "bitmap: %s",
		   strerror(errno));
	for (i = 0; i < KG_WORDS && *rest >= '0' && *rest <= '9'; i++) {
		words[i] = strtoul(rest, &rest, 10);
		rest += strspn(rest, "\n ");
	}
	kg_require(i * 32 >= kg_read(kg_in_area("count")) && !*rest, "bitmap of %lu words: %s", i,
		   rest);
}

/* The first page that is out by now and was not before. */
static unsigned long kg_first_new(const unsigned int *before, const unsigned int *now)
{
	unsigned long i;

	for (i = 0; i < KG_WORDS && !(now[i] & ~before[i]); i++)
		;
	kg_require(i < KG_WORDS, "the bitmap shows no page that went out");
	return kg_read(kg_in_area("base_pfn")) + i * 32 + __builtin_ctz(now[i] & ~before[i]);
}

static void kg_expect_used(unsigned long pages)
{
	unsigned long used = kg_read(kg_in_area("used"));

	kg_require(used == pages, "%lu pages are out instead of %lu", used, pages);
}

static void kg_take_and_give_back(unsigned long pages)
{
	static unsigned int before[KG_WORDS], now[KG_WORDS];
	unsigned long used = kg_read(kg_in_area("used"));
	unsigned long pfn, first;

	kg_read_bitmap(before);
	kg_write(kg_in_area("alloc"), pages);
	kg_expect_used(used + pages);
	kg_read_bitmap(now);
	first = kg_first_new(before, now);
	for (pfn = first; pfn < first + pages; pfn++)
		kg_expect(kg_raw(pfn) == 1, "pfn %lx is out with raw %08x", pfn, kg_raw(pfn));
	kg_expect(!kg_scan_bad(), "pages are not frozen while %lu are out", pages);
	kg_write(kg_in_area("free"), pages);
	kg_expect_used(used);
	kg_drain();
	for (pfn = first; pfn < first + pages; pfn++)
		kg_expect(kg_frozen(pfn) || !(kg_flags(pfn) & KG_BUDDY),
			  "pfn %lx is free with raw %08x", pfn, kg_raw(pfn));
	kg_note("%lu pages from %lx went and came", pages, first);
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
