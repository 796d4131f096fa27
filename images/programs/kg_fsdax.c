// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has to wait for pages of persistent memory that somebody holds, and such pages
 * that are mapped 512 at a time.
 */
#include "kg_pmem.h"

#define HUGE		(2UL << 20)
#define HUGE_PAGES	(HUGE / KG_PAGE)
#define SLOTS		8
#define FILES		6
/* In the superblock (fs/ext4/ext4.h): where it says what it takes to mount the disk. */
#define FEATURES	(1024 + 0x60)
#define EXTENTS		0x40

/*
 * A hole is made where two blocks were; the next one stays what it is. Up to 6.14 a file
 * that nobody has mapped counts as one that nobody has pages of (kg_dax.c).
 */
static void hole_waits_for_a_held_page(void)
{
	int ends[2], file;
	unsigned long pfn;
	char *map;

	kg_mount_disk();
	file = kg_make_file();
	map = kg_map_file(file, MAP_SHARED);
	map[KG_PAGE] = 'x';
	pfn = kg_pfn_of(map + KG_PAGE);
	kg_give_to_pipe(ends, map + KG_PAGE);
	kg_expect_waits(kg_punch, file, ends, pfn, 'x');
	kg_expect_idle(pfn, "in a hole");
	kg_expect(map[KG_PAGE] == 0, "the hole has '%c' in it", map[KG_PAGE]);
	kg_expect(map[2 * KG_PAGE] == 2, "block 2 begins with %d", map[2 * KG_PAGE]);
}

static int unmount(int file)
{
	(void)file;
	return umount(FOLDER);
}

/* ext4_evict_inode() has waited since 6.15; before, dax_disassociate_entry() warned. */
static void unmount_waits_for_a_held_page(void)
{
	int ends[2], file;
	unsigned long pfn;
	char *map;

	kg_mount_disk();
	if (!kg_idle_dax_is_frozen())
		kg_skip("nobody waits for pages when a disk goes before 6.15: run with --base 7.2");
	file = kg_make_file();
	map = kg_map_file(file, MAP_SHARED);
	*map = 'x';
	pfn = kg_pfn_of(map);
	kg_give_to_pipe(ends, map);
	munmap(map, FILE_PAGES * KG_PAGE);
	close(file);
	kg_expect_waits(unmount, -1, ends, pfn, 'x');
	kg_expect_idle(pfn, "unmounted");
}

/* busybox makes a file system without extents, and only extents come in large pieces. */
static void allow_extents(void)
{
	int disk = open(DISK, O_RDWR | O_CLOEXEC);
	unsigned int features;

	kg_require(disk >= 0, DISK ": %s", strerror(errno));
	kg_require(pread(disk, &features, sizeof(features), FEATURES) == sizeof(features),
		   "superblock: %s", strerror(errno));
	features |= EXTENTS;
	kg_require(pwrite(disk, &features, sizeof(features), FEATURES) == sizeof(features),
		   "superblock: %s", strerror(errno));
	kg_require(!fsync(disk), "superblock: %s", strerror(errno));
	close(disk);
}

/* Place for SLOTS times HUGE of FILE in memory that begins at a multiple of HUGE. */
static char *map_large(int file)
{
	char *room = mmap(NULL, (SLOTS + 1) * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *place = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	kg_require(room != MAP_FAILED, "mmap: %s", strerror(errno));
	place = mmap(place, SLOTS * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	kg_require(place != MAP_FAILED, "mmap: %s", strerror(errno));
	return place;
}

/* The first piece of MAP that is mapped as one: its last page is there, untouched. */
static char *touch_huge(char *map)
{
	char *piece;

	for (piece = map; piece < map + SLOTS * HUGE; piece += HUGE) {
		*piece = 'x';
		if (kg_is_there(piece + HUGE - KG_PAGE))
			return piece;
	}
	return NULL;
}

/* A piece of a file: where it is in the file, and in memory. */
struct piece {
	int file;
	off_t at;
	char *map;
};

/*
 * Where a file lies on the disk is for the file system to say, so that files are made
 * until one has a piece that is as well aligned there as it is in the file.
 */
static struct piece huge_piece(void)
{
	char name[] = FOLDER "/large0", *map, *piece;
	int file;

	kg_make_disk();
	allow_extents();
	kg_mount_made_disk();
	for (; name[sizeof(name) - 2] < '0' + FILES; name[sizeof(name) - 2]++) {
		file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		kg_require(file >= 0, "%s: %s", name, strerror(errno));
		kg_require(!fallocate(file, 0, 0, SLOTS * HUGE), "fallocate: %s", strerror(errno));
		map = map_large(file);
		piece = touch_huge(map);
		if (piece)
			return (struct piece){ file, piece - map, piece };
	}
	kg_require(false, "nothing of %d files was mapped as one", FILES);
	return (struct piece){};
}

/* Since 6.15 the pages are one folio as long as they are the file's; before, each is for itself. */
static void expect_huge(unsigned long pfn, long mappings, long pins, const char *when)
{
	unsigned long i;

	kg_expect(pfn % HUGE_PAGES == 0, "%s: page %lx does not begin a huge one", when, pfn);
	kg_expect_count(pfn, mappings, pins, when);
	for (i = 1; i < HUGE_PAGES; i += 30) {
		if (!kg_idle_dax_is_frozen()) {
			kg_expect_count(pfn + i, 0, 0, when);
			continue;
		}
		kg_expect(kg_frozen(pfn + i), "%s: tail %lx has raw %08x", when, pfn + i,
			  kg_raw(pfn + i));
		kg_expect(!kg_try_get(pfn + i), "%s: tail %lx could be had", when, pfn + i);
		kg_expect(kg_count(pfn + i) == mappings + pins, "%s: tail %lx has no head of %ld",
			  when, pfn + i, mappings + pins);
	}
}

static void expect_all_idle(unsigned long pfn, const char *when)
{
	unsigned long i;

	for (i = 0; i < HUGE_PAGES; i += 30)
		kg_expect_idle(pfn + i, when);
}

static void huge_mapping_is_one_reference(void)
{
	struct piece piece = huge_piece();
	unsigned long pfn = kg_pfn_of(piece.map);
	char *other;

	expect_huge(pfn, 1, 0, "mapped");
	other = map_large(piece.file) + piece.at;
	*other = 'y';
	kg_expect(*piece.map == 'y' && kg_pfn_of(other) == pfn, "the mappings differ");
	expect_huge(pfn, 2, 0, "mapped twice");
	munmap(other, HUGE);
	expect_huge(pfn, 1, 0, "mapped once");
	munmap(piece.map, HUGE);
	expect_all_idle(pfn, "unmapped");
	kg_require(!ftruncate(piece.file, 0), "ftruncate: %s", strerror(errno));
	expect_all_idle(pfn, "truncated");
}

/* Since 6.15 who holds one page of it holds them all. */
static void page_of_a_huge_mapping_can_be_held(void)
{
	struct piece piece = huge_piece();
	unsigned long pfn = kg_pfn_of(piece.map);
	int ends[2];

	piece.map[7 * KG_PAGE] = 'x';
	kg_give_to_pipe(ends, piece.map + 7 * KG_PAGE);
	if (kg_idle_dax_is_frozen())
		expect_huge(pfn, 1, 1, "mapped and held");
	else
		kg_expect_count(pfn + 7, 1, 1, "mapped and held");
	kg_take_from_pipe(ends, 'x');
	expect_huge(pfn, 1, 0, "mapped");
}

static int cut(int file)
{
	return ftruncate(file, 0);
}

/* What is cut off becomes single pages, each of them idle. */
static void truncation_waits_for_a_page_of_a_huge_mapping(void)
{
	struct piece piece = huge_piece();
	unsigned long pfn = kg_pfn_of(piece.map);
	int ends[2];

	piece.map[7 * KG_PAGE] = 'x';
	kg_give_to_pipe(ends, piece.map + 7 * KG_PAGE);
	kg_expect_waits(cut, piece.file, ends,
			kg_idle_dax_is_frozen() ? pfn : pfn + 7, 'x');
	expect_all_idle(pfn, "truncated");
}

const struct kg_case kg_cases[] = {
	KG_CASE("ZD-03", hole_waits_for_a_held_page),
	KG_CASE("ZD-03", truncation_waits_for_a_page_of_a_huge_mapping),
	KG_CASE("ZD-05", huge_mapping_is_one_reference),
	KG_CASE("ZD-05", page_of_a_huge_mapping_can_be_held),
	KG_CASE("ZD-11", unmount_waits_for_a_held_page),
	{}
};
