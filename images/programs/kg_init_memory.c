// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the kernel gives back after boot: its own init sections, and the
 * initramfs that it came with.
 */
#include "kg_tap.h"

#define KG_WITHOUT_OWNER	(KG_BUDDY | KG_SLAB | KG_COMPOUND_TAIL)

/*
 * Much of it is in use again by the time that a program can look; the scan that
 * ends each case sees where the rest of it, and the initramfs, have gone. What
 * comes out of the allocator frozen, as slabs and tails do, is as it came in.
 */
static void freed_init_memory_is_frozen(void)
{
	unsigned long first, last, pfn, given_back = 0, seen = 0;
	char text[64];

	kg_require(kg_try_read(KG_PROBE "init", text, sizeof(text)), "init: %s", strerror(errno));
	kg_require(sscanf(text, "%lu %lu", &first, &last) == 2 && first < last, "init: %s", text);
	kg_drain();
	for (pfn = first; pfn <= last; pfn++) {
		given_back += !(kg_flags(pfn) & KG_RESERVED);
		if (!(kg_flags(pfn) & KG_WITHOUT_OWNER))
			continue;
		seen++;
		kg_expect(kg_frozen(pfn), "page %lx has raw %08x", pfn, kg_raw(pfn));
	}
	kg_note("init memory: pfns %lx to %lx, %lu given back, %lu have no owner", first, last,
		given_back, seen);
	kg_expect(given_back == last - first + 1, "a part of the init memory is still reserved");
}

const struct kg_case kg_cases[] = {
	KG_CASE("FRS-01", freed_init_memory_is_frozen),
	{}
};
