// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of persistent memory that are a file's (ext4 -o dax): mapped without a
 * copy, and free at a count of 0 where no mapping and no pin has them.
 */
#include "kg_pmem.h"

/* The pages of the disk, none of which has been anybody's yet. */
static void untouched_pages_are_frozen(void)
{
	unsigned long first, pages, page;
	char *map;

	kg_ask_for_pages();
	first = kg_read(SYS_DISK "device/resource") / KG_PAGE;
	pages = kg_read(SYS_DISK "size") * 512 / KG_PAGE;
	kg_require(pages > 32000, "a disk of 128 MiB has but %lu pages", pages);
	for (page = 0; page < pages; page += 64)
		kg_expect_idle(first + page, "before any use");
	kg_expect_idle(first + pages - 1, "before any use");

	/* That these are the pages that a file gets. */
	map = kg_map_new_file();
	*map = 'x';
	kg_expect(kg_pfn_of(map) >= first && kg_pfn_of(map) < first + pages,
		  "the file has page %lx, not one of the disk's", kg_pfn_of(map));
}

static void first_store_maps_page_with_one_reference(void)
{
	char *map = kg_map_new_file();

	*map = 'x';
	kg_expect_count(kg_pfn_of(map), 1, 0, "stored to");
	kg_expect(*map == 'x', "what was stored is not there");
}

static void first_load_maps_page_with_one_reference(void)
{
	char *map = kg_map_new_file();
	char found = map[3 * KG_PAGE];

	kg_expect(found == 3, "block 3 begins with %d", found);
	kg_expect_count(kg_pfn_of(map + 3 * KG_PAGE), 1, 0, "loaded from");
}

/* Its fault first makes the block durable, then maps it: dax_insert_pfn_mkwrite(). */
static void synchronous_store_maps_page_with_one_reference(void)
{
	char *map;
	int file;

	kg_mount_disk();
	file = kg_make_file();
	map = kg_map_file(file, MAP_SHARED_VALIDATE | MAP_SYNC);
	kg_require(!ftruncate(file, 0) && !ftruncate(file, KG_PAGE), "ftruncate: %s",
		   strerror(errno));
	*map = 'x'; /* to a block that is allocated by this */
	kg_expect_count(kg_pfn_of(map), 1, 0, "stored to");
	kg_expect(*map == 'x', "what was stored is not there");
}

/* A store after a load: the page is there, and is made writable. */
static void store_after_load_adds_no_reference(void)
{
	char *map = kg_map_new_file();
	char found = *map;
	unsigned long pfn = kg_pfn_of(map);

	*map = 'x';
	kg_expect(found == 0, "block 0 begins with %d", found);
	kg_expect(kg_pfn_of(map) == pfn, "the store has changed the page");
	kg_expect_count(pfn, 1, 0, "loaded from and stored to");
}

static void unmapped_page_is_frozen_again(void)
{
	char *map = kg_map_new_file();
	unsigned long pfn;
	int round;

	for (round = 0; round < 3; round++) {
		*map = 'a' + round;
		pfn = kg_pfn_of(map);
		kg_expect_count(pfn, 1, 0, "mapped");
		kg_require(!madvise(map, KG_PAGE, MADV_DONTNEED), "madvise: %s", strerror(errno));
		kg_expect_idle(pfn, "unmapped");
		kg_expect(*map == 'a' + round, "round %d: the page has lost its content", round);
	}
	munmap(map, FILE_PAGES * KG_PAGE);
	kg_expect_idle(pfn, "unmapped at last");
}

static void each_mapping_has_a_reference(void)
{
	char *first, *second;
	unsigned long pfn;
	int file;

	kg_mount_disk();
	file = kg_make_file();
	first = kg_map_file(file, MAP_SHARED);
	second = kg_map_file(file, MAP_SHARED);
	*first = 'x';
	pfn = kg_pfn_of(first);
	kg_expect(*second == 'x' && kg_pfn_of(second) == pfn, "the mappings differ");
	kg_expect_count(pfn, 2, 0, "mapped twice");
	munmap(first, FILE_PAGES * KG_PAGE);
	kg_expect_count(pfn, 1, 0, "mapped once");
	munmap(second, FILE_PAGES * KG_PAGE);
	kg_expect_idle(pfn, "unmapped");
}

static void held_page_outlives_its_mapping(void)
{
	char *map = kg_map_new_file();
	unsigned long pfn;
	int ends[2];

	*map = 'x';
	pfn = kg_pfn_of(map);
	kg_give_to_pipe(ends, map);
	kg_expect_count(pfn, 1, 1, "mapped and held");
	munmap(map, FILE_PAGES * KG_PAGE);
	kg_expect_count(pfn, 0, 1, "held");
	kg_take_from_pipe(ends, 'x');
	kg_expect_idle(pfn, "given back");
}

static pid_t truncate_in_child(int file)
{
	pid_t child = fork();

	if (child)
		return child;
	_exit(ftruncate(file, 0) ? 1 : 0);
}

/*
 * The blocks must not become another file's while somebody has the page: dax_break_layout().
 * Up to 6.14 it takes a file that nobody has mapped for one that nobody has pages of
 * (dax_layout_busy_page_range()): there the file stays mapped, if not this page of it.
 */
static void truncation_waits_for_a_held_page(void)
{
	unsigned long pfn;
	int ends[2], file, status;
	pid_t child;
	char *map;

	kg_mount_disk();
	file = kg_make_file();
	map = kg_map_file(file, MAP_SHARED);
	*map = 'x';
	pfn = kg_pfn_of(map);
	kg_give_to_pipe(ends, map);
	munmap(map, (kg_idle_dax_is_frozen() ? FILE_PAGES : 1) * KG_PAGE);
	child = truncate_in_child(file);
	kg_require(!kg_ended(child), "the file was truncated under a page that is held");
	kg_expect_count(pfn, 0, 1, "while truncation waits");
	kg_take_from_pipe(ends, 'x');
	kg_require(waitpid(child, &status, 0) == child && !status, "truncation: status %x", status);
	kg_expect_idle(pfn, "truncated");
}

const struct kg_case kg_cases[] = {
	KG_CASE("DAX-01", first_store_maps_page_with_one_reference),
	KG_CASE("DAX-01", first_load_maps_page_with_one_reference),
	KG_CASE("DAX-02", synchronous_store_maps_page_with_one_reference),
	KG_CASE("DAX-02", store_after_load_adds_no_reference),
	KG_CASE("DAX-03", untouched_pages_are_frozen),
	KG_CASE("DAX-03", unmapped_page_is_frozen_again),
	KG_CASE("DAX-04", each_mapping_has_a_reference),
	KG_CASE("DAX-05", held_page_outlives_its_mapping),
	KG_CASE("DAX-05", truncation_waits_for_a_held_page),
	{}
};
