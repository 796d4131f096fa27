// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of persistent memory that belong to two files, which XFS can have: a file that is
 * a clone of another one shares its blocks until somebody writes to them.
 */
#include "kg_pmem.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

/* Made smaller than the 300 MiB that mkfs.xfs wants, which its own tests may do. */
#define MKFS	"TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x mkfs.xfs -q -f " DISK

/* One block of two files, mapped of each. */
struct shared {
	int files[2];
	char *maps[2];
	unsigned long pfn;
};

static bool has_xfs(void)
{
	return !system("grep -qw xfs /proc/filesystems");
}

static void mount_xfs(void)
{
	int status;

	if (!has_xfs())
		kg_skip("this kernel has no XFS: run with --config devices");
	kg_ask_for_pages();
	status = system(MKFS);
	kg_require(!status, "%s: status %d", MKFS, status);
	mkdir(FOLDER, 0700);
	kg_require(!mount(DISK, FOLDER, "xfs", 0, "dax=always"), "mount -o dax=always: %s",
		   strerror(errno));
}

static void expect_shared(const struct shared *shared, long mappings, const char *when)
{
	kg_expect_count(shared->pfn, mappings, 0, when);
}

/* Two files of one content, of which the second is a clone; both are mapped and read. */
static struct shared two_files(void)
{
	struct shared two;
	int i;

	mount_xfs();
	two.files[0] = kg_make_file();
	two.files[1] = open(FOLDER "/clone", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	kg_require(two.files[1] >= 0, FOLDER "/clone: %s", strerror(errno));
	kg_require(!ioctl(two.files[1], FICLONE, two.files[0]), "FICLONE: %s", strerror(errno));
	for (i = 0; i < 2; i++) {
		two.maps[i] = kg_map_file(two.files[i], MAP_SHARED);
		kg_require(two.maps[i][KG_PAGE] == 1, "block 1 of file %d begins with %d", i,
			   two.maps[i][KG_PAGE]);
	}
	two.pfn = kg_pfn_of(two.maps[0] + KG_PAGE);
	kg_require(kg_pfn_of(two.maps[1] + KG_PAGE) == two.pfn, "the files share no page");
	expect_shared(&two, 2, "mapped of both files");
	return two;
}

/*
 * A fault on a block that is shared takes it out of the file's other mappings, as it may
 * become another one (dax_insert_entry() in fs/dax.c, 7.2).
 */
static void page_of_two_files_counts_a_mapping_of_each(void)
{
	struct shared two = two_files();
	char *again = kg_map_file(two.files[1], MAP_SHARED);

	kg_require(again[KG_PAGE] == 1, "block 1 begins with %d", again[KG_PAGE]);
	expect_shared(&two, 2, "mapped of the clone once more");
	munmap(two.maps[0], FILE_PAGES * KG_PAGE);
	expect_shared(&two, 1, "mapped of the clone alone");
	munmap(again, FILE_PAGES * KG_PAGE);
	kg_expect_idle(two.pfn, "mapped of neither");
	kg_require(two.maps[1][KG_PAGE] == 1, "block 1 begins with %d", two.maps[1][KG_PAGE]);
	expect_shared(&two, 1, "mapped again");
	munmap(two.maps[1], FILE_PAGES * KG_PAGE);
	kg_expect_idle(two.pfn, "unmapped");
}

/* What the first file gives up is still the clone's. */
static void page_of_two_files_outlives_the_first(void)
{
	struct shared two = two_files();

	kg_require(!ftruncate(two.files[0], 0), "ftruncate: %s", strerror(errno));
	expect_shared(&two, 1, "cut off the first file");
	kg_expect(two.maps[1][KG_PAGE] == 1, "the clone has %d there", two.maps[1][KG_PAGE]);
	kg_require(!ftruncate(two.files[1], 0), "ftruncate: %s", strerror(errno));
	kg_expect_idle(two.pfn, "cut off both files");
}

/* Who writes gets a block of his own, and gives the page that was shared back. */
static void store_to_a_page_of_two_files_parts_them(void)
{
	struct shared two = two_files();
	unsigned long own;

	two.maps[0][KG_PAGE] = 'x';
	own = kg_pfn_of(two.maps[0] + KG_PAGE);
	kg_expect(own != two.pfn, "the store went to the page that is shared");
	kg_expect_count(own, 1, 0, "written to");
	expect_shared(&two, 1, "left to the clone");
	kg_expect(two.maps[1][KG_PAGE] == 1, "the clone has %d there", two.maps[1][KG_PAGE]);
	munmap(two.maps[0], FILE_PAGES * KG_PAGE);
	kg_expect_idle(own, "unmapped");
	munmap(two.maps[1], FILE_PAGES * KG_PAGE);
	kg_expect_idle(two.pfn, "unmapped");
}

/* A hole in one file waits for who holds a page of both: he may have come by either. */
static void hole_in_one_of_two_files_waits_for_a_held_page(void)
{
	struct shared two = two_files();
	int ends[2];

	kg_give_to_pipe(ends, two.maps[1] + KG_PAGE);
	munmap(two.maps[1], FILE_PAGES * KG_PAGE);
	kg_expect_waits(kg_punch, two.files[0], ends, two.pfn, 1);
	kg_expect(two.maps[0][KG_PAGE] == 0, "the hole has %d in it", two.maps[0][KG_PAGE]);
	kg_expect_idle(two.pfn, "in a hole of one file");
}

const struct kg_case kg_cases[] = {
	KG_CASE("ZD-04", page_of_two_files_counts_a_mapping_of_each),
	KG_CASE("ZD-04", page_of_two_files_outlives_the_first),
	KG_CASE("ZD-04", store_to_a_page_of_two_files_parts_them),
	KG_CASE("ZD-04", hole_in_one_of_two_files_waits_for_a_held_page),
	{}
};
