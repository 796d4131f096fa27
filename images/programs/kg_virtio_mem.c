// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtio-mem device that has plugged 192 of its 256 MiB: one whole block of
 * the kernel's and one half. The pages of the other half are the driver's, one
 * reference each (drivers/virtio/virtio_mem.c, 7.2: "fake-offline"). It drops them
 * when the block is about to go offline, and takes them again when it does not.
 *
 * The gate may have asked the device for another size before a case begins.
 */
#include "kg_blocks.h"

#define KG_OFFLINE	KG_BIT(23) /* not in the header, but in /proc/kpageflags since 5.2 */

/* So many of the driver's pages are looked at. */
#define SAMPLES		64

/* To begin a case with. */
static void need_device(void)
{
	if (!kg_has_virtio_mem())
		kg_skip("no virtio-mem device: run on --machine virtio-mem");
}

/* The block of which the driver has the upper half. */
static unsigned long half_block(void)
{
	unsigned long first;

	need_device();
	first = kg_await_blocks(2, 2);
	kg_require(kg_block_is(first + 1, "online"), "block %lu is not online", first + 1);
	return first + 1;
}

static unsigned long sample(unsigned long block, unsigned long i)
{
	unsigned long half = kg_block_pages() / 2;

	return kg_block_pfn(block) + half + i * (half - 1) / (SAMPLES - 1);
}

/* The pages that are not plugged have COUNT references, and are frozen if that is none. */
static void expect_counts(unsigned long block, long count, const char *when)
{
	unsigned long pfn, i;

	for (i = 0; i < SAMPLES; i++) {
		pfn = sample(block, i);
		kg_expect(kg_flags(pfn) & KG_OFFLINE, "%s: page %lx is not the driver's", when,
			  pfn);
		kg_expect(kg_count(pfn) == count, "%s: page %lx has raw %08x, asked for count %ld",
			  when, pfn, kg_raw(pfn), count);
	}
}

static void unplugged_pages_are_the_drivers(void)
{
	expect_counts(half_block(), 1, "after boot");
}

static void cancelled_offlining_gives_pages_back_to_the_driver(void)
{
	unsigned long block = half_block();

	kg_give_up_offlining(block);
	expect_counts(block, 1, "after offlining was given up");
}

/* A second time as well, and then for good. */
static void offlining_succeeds_after_it_was_cancelled(void)
{
	unsigned long block = half_block();

	kg_give_up_offlining(block);
	kg_give_up_offlining(block);
	kg_put_block(block, "offline", "offline");
	kg_expect_invariant();
	kg_put_block(block, "online_movable", "online");
	expect_counts(block, 1, "online again");
}

static void half_block_goes_offline_and_online(void)
{
	unsigned long block = half_block();

	kg_put_block(block, "offline", "offline");
	kg_expect_invariant();
	kg_put_block(block, "online_movable", "online");
	expect_counts(block, 1, "online again");
}

static bool half_is_plugged(unsigned long block, bool plugged)
{
	unsigned long i;

	for (i = 0; i < SAMPLES; i++) {
		if (plugged != !(kg_flags(sample(block, i)) & KG_OFFLINE))
			return false;
	}
	return true;
}

/* The driver works through a new size in its own time. */
static void await_half(unsigned long block, bool plugged)
{
	int i;

	for (i = 0; i < KG_BLOCK_TRIES; i++) {
		if (half_is_plugged(block, plugged))
			return;
		usleep(KG_BLOCK_TRY_US);
	}
	kg_require(false, "the upper half of block %lu is still %s", block,
		   plugged ? "the driver's" : "plugged");
}

/* The gate has asked for 64 MiB. */
static void shrunk_device_takes_memory_away(void)
{
	unsigned long block;

	need_device();
	block = kg_await_blocks(1, 1);
	await_half(block, false);
	expect_counts(block, 1, "taken away");
}

/* The gate has asked for 256 MiB. */
static void grown_device_gives_frozen_pages(void)
{
	unsigned long block = half_block(), pfn, free = 0, i;

	await_half(block, true);
	for (i = 0; i < SAMPLES; i++) {
		pfn = sample(block, i);
		kg_expect(!(kg_flags(pfn) & KG_OFFLINE), "page %lx is still the driver's", pfn);
		if (!(kg_flags(pfn) & KG_BUDDY))
			continue;
		free++;
		kg_expect(kg_frozen(pfn), "free page %lx: raw %08x", pfn, kg_raw(pfn));
	}
	kg_expect(free, "none of its pages is free, so that nothing was looked at");
}

const struct kg_case kg_cases[] = {
	KG_CASE("VM-01", unplugged_pages_are_the_drivers),
	KG_CASE("VM-01", cancelled_offlining_gives_pages_back_to_the_driver),
	KG_CASE("VM-01", offlining_succeeds_after_it_was_cancelled),
	KG_CASE("VM-01", half_block_goes_offline_and_online),
	KG_CASE("VM-01", shrunk_device_takes_memory_away),
	KG_CASE("VM-01", grown_device_gives_frozen_pages),
	{}
};
