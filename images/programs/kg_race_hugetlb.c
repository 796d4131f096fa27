// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that come and go, while somebody walks over all their pages.
 *
 * A huge page may share the struct pages of its tails, which are then read-only. A
 * walker by page number knows nothing of that: its get has to fail without a write,
 * whatever the page was a moment ago.
 */
#include "kg_hugetlb.h"
#include "kg_sides.h"

#define KG_POOL_PAGES	8
#define KG_SMALL_SIZE	(KG_POOL_PAGES * KG_HUGE_SIZE)
/* A walker comes back to the first page of a block every so many turns. */
#define KG_FIRST_PAGE	4
#define KG_MAX_BLOCKS	4096

/* Blocks of memory that were huge pages once, by their first pfn. */
static unsigned long kg_blocks[KG_MAX_BLOCKS];
static unsigned long kg_nr_blocks;

static bool kg_use_huge(void)
{
	char *map = mmap(NULL, KG_SMALL_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	unsigned long i;

	if (map == MAP_FAILED)
		return false;
	for (i = 0; i < KG_POOL_PAGES; i++)
		map[i * KG_HUGE_SIZE] = 1;
	munmap(map, KG_SMALL_SIZE);
	return true;
}

/* The same memory in small pages. */
static void kg_use_small(void)
{
	char *map = mmap(NULL, KG_SMALL_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long i;

	if (map == MAP_FAILED)
		return;
	madvise(map, KG_SMALL_SIZE, MADV_NOHUGEPAGE);
	for (i = 0; i < KG_SMALL_SIZE; i += KG_PAGE)
		map[i] = 1;
	munmap(map, KG_SMALL_SIZE);
}

static void kg_turn_come_and_go(struct kg_side *side)
{
	bool used;

	kg_try_write(KG_POOL "nr_hugepages", KG_POOL_PAGES);
	used = kg_use_huge();
	kg_try_write(KG_POOL "nr_hugepages", 0);
	kg_use_small();
	kg_score(side, used);
}

static unsigned long kg_any_page(struct kg_side *side)
{
	unsigned long block = kg_blocks[kg_any(side, kg_nr_blocks)];

	if (side->turns % KG_FIRST_PAGE == 0)
		return block;
	return block + kg_any(side, KG_HUGE_PAGES);
}

/* A tail can have no reference of its own, and nothing becomes one that has any. */
static void kg_turn_get(struct kg_side *side)
{
	unsigned long pfn = kg_any_page(side);
	bool got = kg_try_get(pfn);

	if (got && kg_flags(pfn) & KG_COMPOUND_TAIL)
		kg_violated("page %lx is a tail and was got", pfn);
	if (got)
		kg_put(pfn);
	kg_score(side, got);
}

static void kg_find_blocks(void)
{
	unsigned long long flags[512];
	int file = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	unsigned long pfn;

	kg_require(file >= 0, "/proc/kpageflags: %s", strerror(errno));
	for (pfn = 0; kg_nr_blocks < KG_MAX_BLOCKS; pfn += KG_HUGE_PAGES) {
		if (pread(file, flags, sizeof(flags), pfn * sizeof(*flags)) != sizeof(flags))
			break;
		if (flags[0] & KG_HUGE && !(flags[0] & KG_NOPAGE))
			kg_blocks[kg_nr_blocks++] = pfn;
	}
	close(file);
}

static void huge_pages_come_and_go_under_a_walker(void)
{
	struct kg_side sides[] = {
		{ .name = "comes and goes", .turn = kg_turn_come_and_go },
		{ .name = "gets by number", .turn = kg_turn_get, .must_lose = true },
	};

	kg_set_pool(KG_POOL_PAGES);
	kg_find_blocks();
	kg_require(kg_nr_blocks >= KG_POOL_PAGES, "of %d huge pages %lu were found",
		   KG_POOL_PAGES, kg_nr_blocks);
	kg_race(sides, 2);
	kg_set_pool(0);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-12", huge_pages_come_and_go_under_a_walker),
	{}
};
