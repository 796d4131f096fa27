// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap-cache lookups while what they find is deleted.
 *
 * One side swaps pages out, to a disk in memory; others use them, so that two may
 * look for the same one in the swap cache, while a write deletes it from there.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/swap.h>

#include "kg_sides.h"

#define KG_DISK		"/dev/ram0"
#define KG_PAGES	64
#define KG_MAGIC	"SWAPSPACE2"

static struct kg_region kg_region;

/* As mkswap does it: linux/swap.h, union swap_header. */
static void kg_make_swap(void)
{
	char *header = calloc(1, KG_PAGE);
	unsigned int *info = (void *)(header + 1024);
	int disk = open(KG_DISK, O_RDWR | O_CLOEXEC);
	unsigned long long size;

	if (disk < 0)
		kg_skip("no disk in memory: a kernel with CONFIG_BLK_DEV_RAM");
	kg_require(!ioctl(disk, BLKGETSIZE64, &size), "%s: %s", KG_DISK, strerror(errno));
	info[0] = 1;
	info[1] = size / KG_PAGE - 1;
	memcpy(header + KG_PAGE - strlen(KG_MAGIC), KG_MAGIC, strlen(KG_MAGIC));
	kg_require(pwrite(disk, header, KG_PAGE, 0) == (ssize_t)KG_PAGE,
		   "%s: %s", KG_DISK, strerror(errno));
	close(disk);
	kg_require(!swapon(KG_DISK, 0), "swapon: %s", strerror(errno));
}

/* Wins if the page is out, and nobody has it back yet. */
static void kg_turn_out(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);

	madvise(kg_words(&kg_region, page), KG_PAGE, MADV_PAGEOUT);
	kg_score(side, kg_where(&kg_region, page) & KG_SWAPPED);
}

/* Wins if the page was out a moment ago, so that it had to be looked up. */
static void kg_turn_use(struct kg_side *side)
{
	unsigned long page = kg_any(side, KG_PAGES);
	bool out = kg_where(&kg_region, page) & KG_SWAPPED;

	kg_use(&kg_region, page);
	kg_score(side, out);
}

/* Gets what is there, also while it is on its way out. */
static void kg_turn_catch(struct kg_side *side)
{
	kg_score(side, kg_catch(&kg_region, kg_any(side, KG_PAGES), 0));
}

static void swap_cache_loses_no_page(void)
{
	struct kg_side sides[] = {
		{ .name = "swaps out", .turn = kg_turn_out, .must_lose = true },
		{ .name = "uses", .turn = kg_turn_use },
		{ .name = "uses, too", .turn = kg_turn_use },
		{ .name = "gets by number", .turn = kg_turn_catch },
	};
	unsigned long out, in;

	kg_make_swap();
	kg_region = kg_make_region(KG_PAGES);
	out = kg_events("pswpout");
	in = kg_events("pswpin");
	kg_race(sides, 4);
	kg_expect_events("pswpout", out);
	kg_expect_events("pswpin", in);
	kg_expect(!swapoff(KG_DISK), "swapoff: %s", strerror(errno));
	kg_check_region(&kg_region);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-08", swap_cache_loses_no_page),
	{}
};
