/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages taken out of use by hand, and given back: the triggers of memory failure.
 */
#ifndef KG_POISON_H
#define KG_POISON_H

#include "kg_tap.h"

#define KG_SOFT_OFFLINE	"/sys/devices/system/memory/soft_offline_page"
#define KG_HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"

static inline void kg_need_memory_failure(void)
{
	if (access(KG_HARD_OFFLINE, W_OK))
		kg_skip("no trigger of memory failure: configure MEMORY_FAILURE=y");
}

/* Both files want an address. */
static inline void kg_take_offline(const char *how, unsigned long pfn)
{
	int error = kg_try_write(how, pfn * KG_PAGE);

	kg_require(!error, "%s refuses pfn %lx: %s", how, pfn, strerror(error));
}

/* What is out of use is marked, and kept from all others by one reference. */
static inline void kg_expect_poisoned(unsigned long pfn)
{
	kg_note("pfn %lx is offline with raw %08x, count %ld", pfn, kg_raw(pfn), kg_count(pfn));
	kg_expect(kg_flags(pfn) & KG_HWPOISON, "pfn %lx is not marked as poisoned", pfn);
	kg_expect(kg_count(pfn) == 1, "pfn %lx has count %ld instead of 1", pfn, kg_count(pfn));
}

/*
 * And back again: a free page like any other. The probe looks whether it is, at once: what
 * has just been freed is what is given away next.
 */
static inline void kg_unpoison(unsigned long pfn)
{
	int error;

	kg_aim(pfn);
	error = kg_try_write(KG_PROBE "unpoison", 1);
	kg_require(!error, "unpoison refuses pfn %lx: %s", pfn, strerror(error));
	kg_expect(kg_read(KG_PROBE "result"),
		  "pfn %lx did not come back to the allocator: raw %08x", pfn, kg_raw(pfn));
	kg_expect(!(kg_flags(pfn) & KG_HWPOISON), "pfn %lx is still marked as poisoned", pfn);
}

#endif
