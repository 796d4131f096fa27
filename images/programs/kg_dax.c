// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of persistent memory that are a file's (ext4 -o dax): mapped without a
 * copy, and free at a count of 0 where no mapping and no pin has them.
 *
 * What counts is one reference a mapping and one a pin: vmf_insert_page_mkwrite()
 * takes the mapping's, and dax_fault_iter() gives its own back (fs/dax.c, 7.2). Before
 * 6.15 the file system's is the only one, but for pins: __put_devmap_managed_page_refs()
 * takes a page at 1 for idle (mm/memremap.c, 6.12).
 */
#include "kg_base.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define DISK		"/dev/pmem0"
#define SYS_DISK	"/sys/block/pmem0/"
#define ND_DRIVER	"/sys/bus/nd/drivers/nd_pmem/"
#define ND_PFN		"/sys/bus/nd/devices/pfn0.0/"
#define FOLDER		"/tmp/dax"
#define FILE_PAGES	8

static void write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written = write(file, text, strlen(text));

	kg_require(written > 0, "%s > %s: %s", text, path, strerror(errno));
	close(file);
}

/*
 * Persistent memory comes with struct pages where the kernel is sure of its
 * caches (x86_64; arm64 with CONFIG_ARM64_PMEM). Elsewhere somebody has to say
 * that they are wanted: Documentation/driver-api/nvdimm/nvdimm.rst, "pfn".
 */
static void ask_for_pages(void)
{
	if (access(DISK, F_OK))
		kg_skip("no persistent memory: run on --machine nvdimm");
	if (kg_read(SYS_DISK "queue/dax"))
		return;
	write_text(ND_DRIVER "unbind", "namespace0.0");
	write_text(ND_PFN "mode", "ram");
	write_text(ND_PFN "uuid", "6b67686f-0000-4000-8000-6b67686f0001");
	write_text(ND_PFN "namespace", "namespace0.0");
	write_text(ND_DRIVER "bind", "pfn0.0");
	kg_require(kg_read(SYS_DISK "queue/dax"), "the disk still has no pages");
}

/* A file system whose blocks are pages, as DAX has it; busybox makes an ext2, which ext4 mounts. */
static void mount_disk(void)
{
	int status;

	ask_for_pages();
	status = system("busybox mke2fs -b 4096 -i 1048576 " DISK " >/dev/null");
	kg_require(!status, "mke2fs " DISK ": status %d", status);
	mkdir(FOLDER, 0700);
	kg_require(!mount(DISK, FOLDER, "ext4", 0, "dax"), "mount -o dax: %s", strerror(errno));
}

/* A file of FILE_PAGES blocks, of which each begins with its number. */
static int make_file(void)
{
	int file = open(FOLDER "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char block[4096] = "";
	char i;

	kg_require(file >= 0, FOLDER "/file: %s", strerror(errno));
	for (i = 0; i < FILE_PAGES; i++) {
		block[0] = i;
		kg_require(write(file, block, sizeof(block)) == sizeof(block), "write: %s",
			   strerror(errno));
	}
	kg_require(!fsync(file), "fsync: %s", strerror(errno));
	return file;
}

static char *map_file(int file, int flags)
{
	char *map = mmap(NULL, FILE_PAGES * KG_PAGE, PROT_READ | PROT_WRITE, flags, file, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

static char *map_new_file(void)
{
	mount_disk();
	return map_file(make_file(), MAP_SHARED);
}

/* The count that a page has by so many mappings and pins. */
static void expect_count(unsigned long pfn, long mappings, long pins, const char *when)
{
	long count = (kg_idle_dax_is_frozen() ? mappings : 1) + pins;

	kg_expect(kg_count(pfn) == count, "%s: page %lx has raw %08x, asked for a count of %ld",
		  when, pfn, kg_raw(pfn), count);
}

static void expect_idle(unsigned long pfn, const char *when)
{
	expect_count(pfn, 0, 0, when);
	if (!kg_idle_dax_is_frozen())
		return;
	kg_expect(kg_frozen(pfn), "%s: page %lx is not frozen: raw %08x", when, pfn, kg_raw(pfn));
	kg_expect(!kg_try_get(pfn), "%s: a reference on page %lx could be had", when, pfn);
}

/* The pages of the disk, none of which has been anybody's yet. */
static void untouched_pages_are_frozen(void)
{
	unsigned long first, pages, page;
	char *map;

	ask_for_pages();
	first = kg_read(SYS_DISK "device/resource") / KG_PAGE;
	pages = kg_read(SYS_DISK "size") * 512 / KG_PAGE;
	kg_require(pages > 32000, "a disk of 128 MiB has but %lu pages", pages);
	for (page = 0; page < pages; page += 64)
		expect_idle(first + page, "before any use");
	expect_idle(first + pages - 1, "before any use");

	/* That these are the pages that a file gets. */
	map = map_new_file();
	*map = 'x';
	kg_expect(kg_pfn_of(map) >= first && kg_pfn_of(map) < first + pages,
		  "the file has page %lx, not one of the disk's", kg_pfn_of(map));
}

static void first_store_maps_page_with_one_reference(void)
{
	char *map = map_new_file();

	*map = 'x';
	expect_count(kg_pfn_of(map), 1, 0, "stored to");
	kg_expect(*map == 'x', "what was stored is not there");
}

static void first_load_maps_page_with_one_reference(void)
{
	char *map = map_new_file();
	char found = map[3 * KG_PAGE];

	kg_expect(found == 3, "block 3 begins with %d", found);
	expect_count(kg_pfn_of(map + 3 * KG_PAGE), 1, 0, "loaded from");
}

/* Its fault first makes the block durable, then maps it: dax_insert_pfn_mkwrite(). */
static void synchronous_store_maps_page_with_one_reference(void)
{
	char *map;
	int file;

	mount_disk();
	file = make_file();
	map = map_file(file, MAP_SHARED_VALIDATE | MAP_SYNC);
	kg_require(!ftruncate(file, 0) && !ftruncate(file, KG_PAGE), "ftruncate: %s",
		   strerror(errno));
	*map = 'x'; /* to a block that is allocated by this */
	expect_count(kg_pfn_of(map), 1, 0, "stored to");
	kg_expect(*map == 'x', "what was stored is not there");
}

/* A store after a load: the page is there, and is made writable. */
static void store_after_load_adds_no_reference(void)
{
	char *map = map_new_file();
	char found = *map;
	unsigned long pfn = kg_pfn_of(map);

	*map = 'x';
	kg_expect(found == 0, "block 0 begins with %d", found);
	kg_expect(kg_pfn_of(map) == pfn, "the store has changed the page");
	expect_count(pfn, 1, 0, "loaded from and stored to");
}

static void unmapped_page_is_frozen_again(void)
{
	char *map = map_new_file();
	unsigned long pfn;
	int round;

	for (round = 0; round < 3; round++) {
		*map = 'a' + round;
		pfn = kg_pfn_of(map);
		expect_count(pfn, 1, 0, "mapped");
		kg_require(!madvise(map, KG_PAGE, MADV_DONTNEED), "madvise: %s", strerror(errno));
		expect_idle(pfn, "unmapped");
		kg_expect(*map == 'a' + round, "round %d: the page has lost its content", round);
	}
	munmap(map, FILE_PAGES * KG_PAGE);
	expect_idle(pfn, "unmapped at last");
}

static void each_mapping_has_a_reference(void)
{
	char *first, *second;
	unsigned long pfn;
	int file;

	mount_disk();
	file = make_file();
	first = map_file(file, MAP_SHARED);
	second = map_file(file, MAP_SHARED);
	*first = 'x';
	pfn = kg_pfn_of(first);
	kg_expect(*second == 'x' && kg_pfn_of(second) == pfn, "the mappings differ");
	expect_count(pfn, 2, 0, "mapped twice");
	munmap(first, FILE_PAGES * KG_PAGE);
	expect_count(pfn, 1, 0, "mapped once");
	munmap(second, FILE_PAGES * KG_PAGE);
	expect_idle(pfn, "unmapped");
}

/* A pipe holds the page MAP as a reference of its own until somebody reads it. */
static void give_to_pipe(int ends[2], char *map)
{
	struct iovec page = { .iov_base = map, .iov_len = KG_PAGE };

	kg_require(!pipe(ends), "pipe: %s", strerror(errno));
	kg_require(vmsplice(ends[1], &page, 1, 0) == (ssize_t)KG_PAGE, "vmsplice: %s",
		   strerror(errno));
}

static void take_from_pipe(int ends[2], char first)
{
	static char page[4096];

	kg_require(read(ends[0], page, sizeof(page)) == sizeof(page), "read: %s", strerror(errno));
	kg_expect(page[0] == first, "the pipe had '%c'", page[0]);
}

static void held_page_outlives_its_mapping(void)
{
	char *map = map_new_file();
	unsigned long pfn;
	int ends[2];

	*map = 'x';
	pfn = kg_pfn_of(map);
	give_to_pipe(ends, map);
	expect_count(pfn, 1, 1, "mapped and held");
	munmap(map, FILE_PAGES * KG_PAGE);
	expect_count(pfn, 0, 1, "held");
	take_from_pipe(ends, 'x');
	expect_idle(pfn, "given back");
}

/* Whether CHILD has ended within a fifth of a second. */
static bool ended(pid_t child)
{
	int i;

	for (i = 0; i < 20; i++) {
		if (waitpid(child, NULL, WNOHANG) == child)
			return true;
		usleep(10000);
	}
	return false;
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

	mount_disk();
	file = make_file();
	map = map_file(file, MAP_SHARED);
	*map = 'x';
	pfn = kg_pfn_of(map);
	give_to_pipe(ends, map);
	munmap(map, (kg_idle_dax_is_frozen() ? FILE_PAGES : 1) * KG_PAGE);
	child = truncate_in_child(file);
	kg_require(!ended(child), "the file was truncated under a page that is held");
	expect_count(pfn, 0, 1, "while truncation waits");
	take_from_pipe(ends, 'x');
	kg_require(waitpid(child, &status, 0) == child && !status, "truncation: status %x", status);
	expect_idle(pfn, "truncated");
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
