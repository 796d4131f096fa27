// SPDX-License-Identifier: GPL-2.0-only
/*
 * Persistent memory as a device that is mapped as a whole, without a file system (device
 * DAX). Its pages count 1 while nobody uses them, before 6.15 and since; what has changed
 * is that a mapping has a reference (insert_pmd(), 7.2; it had none in 6.12).
 *
 * It is mapped 512 pages at a time, and the device's pages are such folios from the
 * beginning, of which nothing but the head counts. x86_64 has the struct pages of their
 * tails but once (ARCH_WANT_OPTIMIZE_DAX_VMEMMAP).
 */
#include "kg_pmem.h"

#define ND_DAX		"/sys/bus/nd/devices/dax0.0/"
#define DAX_DRIVER	"/sys/bus/nd/drivers/dax_pmem/"
#define DAX_DISK	"/dev/dax0.0"
#define SYS_DAX		"/sys/bus/dax/devices/dax0.0/"
#define HUGE		(2UL << 20)
#define HUGE_PAGES	(HUGE / KG_PAGE)

/* Take the namespace from the disk's driver and give it to this one: nvdimm.rst, "dax". */
static int open_device(void)
{
	int device;

	if (access(DISK, F_OK))
		kg_skip("no persistent memory: run on --machine nvdimm");
	kg_write_text(ND_DRIVER "unbind", "namespace0.0");
	kg_write_text(ND_DAX "mode", "ram");
	kg_write_text(ND_DAX "align", "2097152");
	kg_write_text(ND_DAX "uuid", "6b67686f-0000-4000-8000-6b67686f0002");
	kg_write_text(ND_DAX "namespace", "namespace0.0");
	kg_write_text(DAX_DRIVER "bind", "dax0.0");
	device = open(DAX_DISK, O_RDWR | O_CLOEXEC);
	kg_require(device >= 0, DAX_DISK ": %s", strerror(errno));
	return device;
}

static char *map_device(int device)
{
	char *map = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

static unsigned long first_page(void)
{
	return kg_read(SYS_DAX "resource") / KG_PAGE;
}

/* What the head of the huge page counts, and that its tails count nothing. */
static void expect_device_page(unsigned long pfn, long mappings, long pins, const char *when)
{
	long count = 1 + (kg_idle_dax_is_frozen() ? mappings : 0) + pins;
	unsigned long i;

	kg_expect(kg_raw(pfn) == count, "%s: head %lx has raw %08x, asked for %ld", when, pfn,
		  kg_raw(pfn), count);
	for (i = 1; i < HUGE_PAGES; i += 30) {
		kg_expect(kg_frozen(pfn + i), "%s: tail %lx has raw %08x", when, pfn + i,
			  kg_raw(pfn + i));
		kg_expect(!kg_try_get(pfn + i), "%s: tail %lx could be had", when, pfn + i);
		kg_expect(kg_count(pfn + i) == count, "%s: tail %lx has another head", when,
			  pfn + i);
	}
}

static void mapped_device_page_is_one_again(void)
{
	int device = open_device();
	unsigned long first = first_page();
	char *map, *other;

	expect_device_page(first, 0, 0, "not mapped");
	map = map_device(device);
	*map = 'x';
	kg_require(kg_pfn_of(map) == first, "page %lx is mapped, not %lx", kg_pfn_of(map), first);
	expect_device_page(first, 1, 0, "mapped");
	expect_device_page(first + HUGE_PAGES, 0, 0, "not touched");
	other = map_device(device);
	kg_expect(*other == 'x', "the mappings differ");
	expect_device_page(first, 2, 0, "mapped twice");
	munmap(map, 4 * HUGE);
	expect_device_page(first, 1, 0, "mapped once");
	munmap(other, 4 * HUGE);
	expect_device_page(first, 0, 0, "unmapped");
}

static void held_device_page_outlives_its_mapping(void)
{
	int device = open_device(), ends[2];
	char *map = map_device(device);
	unsigned long first;

	map[3 * KG_PAGE] = 'x';
	first = kg_pfn_of(map);
	kg_give_to_pipe(ends, map + 3 * KG_PAGE);
	expect_device_page(first, 1, 1, "mapped and held");
	munmap(map, 4 * HUGE);
	expect_device_page(first, 0, 1, "held");
	kg_take_from_pipe(ends, 'x');
	expect_device_page(first, 0, 0, "given back");
}

/* Whether the tails of two huge pages have the same struct pages. */
static bool tails_are_shared(unsigned long pfn)
{
	return kg_memmap(pfn + HUGE_PAGES - 1) == kg_memmap(pfn + HUGE_PAGES / 2);
}

static void tails_that_share_struct_pages_are_frozen(void)
{
	unsigned long first, pages, pfn, i;

	open_device();
	first = first_page();
	pages = kg_read(SYS_DAX "size") / KG_PAGE;
	kg_require(pages > 30000, "a device of but %lu pages", pages);
#ifdef __x86_64__
	kg_require(tails_are_shared(first), "the tails have struct pages of their own");
#endif
	for (pfn = first; pfn < first + pages; pfn += 8 * HUGE_PAGES) {
		expect_device_page(pfn, 0, 0, "not mapped");
		for (i = 1; i < HUGE_PAGES; i++)
			kg_expect(kg_frozen(pfn + i), "tail %lx has raw %08x", pfn + i,
				  kg_raw(pfn + i));
	}
	kg_note("tails share struct pages: %d", tails_are_shared(first));
}

const struct kg_case kg_cases[] = {
	KG_CASE("ZD-07", mapped_device_page_is_one_again),
	KG_CASE("ZD-07", held_device_page_outlives_its_mapping),
	KG_CASE("ZD-12", tails_that_share_struct_pages_are_frozen),
	{}
};
