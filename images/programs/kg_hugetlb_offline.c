// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of the pool that are in a block of memory which is put offline: those that
 * nobody uses are dissolved into free pages, one that is used is moved away.
 */
#include "kg_blocks.h"
#include "kg_hugetlb.h"

#define KG_NR	8UL

/* The added block, movable as all such are here, that a huge page mapped at @map is in. */
static unsigned long kg_block_of_huge(char *map)
{
	unsigned long i, block;

	for (i = 0; i < KG_NR; i++) {
		block = kg_pfn_of(map + i * KG_HUGE_SIZE) / kg_block_pages();
		if (block * kg_block_bytes() >= KG_ADDED_ABOVE)
			return block;
	}
	kg_require(false, "none of the huge pages is in memory that was added");
	return KG_NO_BLOCK;
}

/* How many of the huge pages mapped at @map are in @block; HEAD is set to one of these. */
static unsigned long kg_huge_in_block(char *map, unsigned long block, unsigned long *head)
{
	unsigned long i, pfn, found = 0;

	for (i = 0; i < KG_NR; i++) {
		pfn = kg_pfn_of(map + i * KG_HUGE_SIZE);
		if (!kg_in_block(pfn, block))
			continue;
		*head = pfn;
		found++;
	}
	return found;
}

static void unused_huge_pages_are_dissolved(void)
{
	unsigned long block, head = 0, inside, left;
	char *map;

	kg_movable_block();
	kg_set_pool(KG_NR);
	map = kg_map_huge(KG_NR);
	block = kg_block_of_huge(map);
	inside = kg_huge_in_block(map, block, &head);
	kg_unmap_huge(map, KG_NR);
	kg_expect(kg_frozen(head), "the huge page %lx is in the pool with raw %08x", head,
		  kg_raw(head));
	kg_put_block(block, "offline", "offline");
	left = kg_read(KG_POOL "nr_hugepages");
	kg_expect(left == KG_NR - inside, "%lu huge pages are left of %lu, %lu of them dissolved",
		  left, KG_NR, inside);
	kg_expect_invariant();
	kg_put_block(block, "online_movable", "online");
	kg_set_pool(0);
}

/*
 * None is free in the pool, so that one is made to move it to. Of free ones 6.1 and 6.12 take any,
 * in the block as well (dequeue_huge_page_node_exact(), dequeue_hugetlb_folio_node_exact()): pages
 * then move to and fro in it, and offlining never ends. 7.2 passes over those that are isolated.
 */
static void used_huge_page_is_moved_away(void)
{
	unsigned long block, head = 0, i, pfn;
	char *map;

	kg_movable_block();
	kg_set_pool(KG_NR);
	map = kg_map_huge(KG_NR);
	for (i = 0; i < KG_NR; i++)
		memset(map + i * KG_HUGE_SIZE, 'a' + i, KG_HUGE_SIZE);
	block = kg_block_of_huge(map);
	kg_huge_in_block(map, block, &head);
	kg_expect(kg_raw(head) == 1, "the huge page %lx is in use with raw %08x", head,
		  kg_raw(head));
	kg_put_block(block, "offline", "offline");
	for (i = 0; i < KG_NR; i++) {
		pfn = kg_pfn_of(map + i * KG_HUGE_SIZE);
		kg_expect(!kg_in_block(pfn, block), "the huge page %lx is still there", pfn);
		kg_expect(kg_raw(pfn) == 1, "the huge page %lx is in use with raw %08x", pfn,
			  kg_raw(pfn));
		kg_expect(map[(i + 1) * KG_HUGE_SIZE - 1] == (char)('a' + i),
			  "the huge page %lx has lost its content", pfn);
	}
	kg_unmap_huge(map, KG_NR);
	kg_set_pool(0);
}

const struct kg_case kg_cases[] = {
	KG_CASE("HTLB-05", unused_huge_pages_are_dissolved),
	KG_CASE("HTLB-05", used_huge_page_is_moved_away),
	{}
};
