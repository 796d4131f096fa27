// SPDX-License-Identifier: GPL-2.0-only
/*
 * What takes references on pages that it has only found, one kind of work after the other.
 *
 * On a kernel of series/rcu-protocol with CONFIG_PROVE_PAGE_REF each place that does so
 * outside RCU says so, once. A case here does one kind of work, and sees to it that it was
 * done; that nobody complained is for the kernel's log to tell. Elsewhere there is nobody
 * who would complain.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kg_hugetlb.h"
#include "kg_poison.h"
#include "kg_swap.h"

#define PAGES		256
#define HUGE		(2UL << 20)
#define FOLDER		"/tmp/protocol"
#define DROP		"/proc/sys/vm/drop_caches"
#define IDLE		"/sys/kernel/mm/page_idle/bitmap"

/* Names that the C library of the build machine may not know yet. */
#define SOFT_OFFLINE	101	/* MADV_SOFT_OFFLINE */
#define COLLAPSE	25	/* MADV_COLLAPSE, since 6.1 */

static char *touched(size_t size)
{
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(map, 'x', size);
	return map;
}

/* A file with SIZE bytes in the page cache, on a file system of KIND. */
static int file_on(const char *kind, const char *disk, const char *options, size_t size)
{
	static char block[1 << 16];
	size_t done;
	int file;

	mkdir(FOLDER, 0700);
	kg_require(!mount(disk, FOLDER, kind, 0, options), "mount %s: %s", kind, strerror(errno));
	file = open(FOLDER "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	kg_require(file >= 0, FOLDER "/file: %s", strerror(errno));
	memset(block, 'x', sizeof(block));
	for (done = 0; done < size; done += sizeof(block))
		kg_require(write(file, block, sizeof(block)) == sizeof(block), "write: %s",
			   strerror(errno));
	kg_require(!fsync(file), "fsync: %s", strerror(errno));
	return file;
}

static int file_on_disk(size_t size)
{
	kg_require(!system("busybox mke2fs -b 4096 " KG_DISK " 3800 >/dev/null"), "mke2fs");
	return file_on("ext4", KG_DISK, "", size);
}

/* Counters of /proc/vmstat that the work must have moved. */
static void expect_more(const char *counter, long before)
{
	kg_expect(kg_field("/proc/vmstat", counter) > before, "%s is still %ld", counter, before);
}

static void page_cache(void)
{
	size_t size = PAGES * KG_PAGE, i;
	int file = file_on_disk(size);
	long faults = kg_field("/proc/vmstat", "pgmajfault");
	static char block[4096];
	char *map;
	int round;

	for (round = 0; round < 3; round++) {
		kg_write(DROP, 3);
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
		for (i = 0; i < size; i += KG_PAGE)
			kg_require(map[i] == 'x', "offset %zu has '%c'", i, map[i]);
		map[5 * KG_PAGE] = 'x';
		kg_require(!msync(map, size, MS_SYNC), "msync: %s", strerror(errno));
		munmap(map, size);
		kg_require(pread(file, block, sizeof(block), size / 2) == sizeof(block), "pread");
	}
	kg_expect(!ftruncate(file, KG_PAGE), "ftruncate: %s", strerror(errno));
	expect_more("pgmajfault", faults);
}

static void swapping(void)
{
	size_t size = PAGES * KG_PAGE, i;
	unsigned char there[PAGES];
	long out = kg_field("/proc/vmstat", "pswpout"), in = kg_field("/proc/vmstat", "pswpin");
	char *map;

	kg_make_swap();
	map = touched(size);
	kg_require(!madvise(map, size, MADV_PAGEOUT), "madvise: %s", strerror(errno));
	kg_require(!mincore(map, size, there), "mincore: %s", strerror(errno));
	for (i = 0; i < size / 2; i += KG_PAGE)
		kg_require(map[i] == 'x', "page %zu came back with '%c'", i / KG_PAGE, map[i]);
	kg_expect(!swapoff(KG_DISK), "swapoff: %s", strerror(errno));
	kg_expect(map[size - 1] == 'x', "the last page came back with '%c'", map[size - 1]);
	expect_more("pswpout", out);
	expect_more("pswpin", in);
}

static void swapping_of_shared_memory(void)
{
	size_t size = PAGES * KG_PAGE, i;
	long out = kg_field("/proc/vmstat", "pswpout"), in = kg_field("/proc/vmstat", "pswpin");
	unsigned char there[PAGES];
	char *map;
	int file;

	kg_make_swap();
	file = file_on("tmpfs", "none", "", size);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	for (i = 0; i < size; i += KG_PAGE)
		map[i] = 'y';
	kg_require(!madvise(map, size, MADV_PAGEOUT), "madvise: %s", strerror(errno));
	kg_require(!mincore(map, size, there), "mincore: %s", strerror(errno));
	for (i = 0; i < size / 2; i += KG_PAGE)
		kg_require(map[i] == 'y', "page %zu came back with '%c'", i / KG_PAGE, map[i]);
	kg_expect(!swapoff(KG_DISK), "swapoff: %s", strerror(errno));
	expect_more("pswpout", out);
	expect_more("pswpin", in);
}

static void reclaim(void)
{
	size_t size = 2 * PAGES * KG_PAGE;
	int file = file_on_disk(size);
	long stolen = kg_field("/proc/vmstat", "pgsteal_direct") +
		      kg_field("/proc/vmstat", "pgsteal_kswapd");
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	char *all;
	long room;

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	kg_require(map[size / 2] == 'x', "the file has '%c'", map[size / 2]);
	/* All that is free, and then some of what is not. */
	room = kg_field("/proc/meminfo", "MemFree") * 1024L;
	all = mmap(NULL, room, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	kg_require(all != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(all, 'x', room - 2 * HUGE);
	kg_require(!madvise(map, size, MADV_PAGEOUT), "madvise: %s", strerror(errno));
	kg_require(map[0] == 'x', "the file has '%c'", map[0]);
	kg_expect(kg_field("/proc/vmstat", "pgsteal_direct") +
		  kg_field("/proc/vmstat", "pgsteal_kswapd") > stolen, "nothing was reclaimed");
}

static char *aligned(size_t size)
{
	char *room = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	kg_require(room != MAP_FAILED, "mmap: %s", strerror(errno));
	return (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
}

static void huge_pages(void)
{
	long split = kg_field("/proc/vmstat", "thp_split_page");
	long collapsed = kg_field("/proc/vmstat", "thp_collapse_alloc");
	char *map = aligned(8 * HUGE);

	kg_require(!madvise(map, 8 * HUGE, MADV_HUGEPAGE), "madvise: %s", strerror(errno));
	memset(map, 'x', 8 * HUGE);
	kg_require(!madvise(map + HUGE / 2, HUGE, MADV_DONTNEED), "madvise: %s", strerror(errno));
	kg_write(DROP, 3);
	kg_write("/sys/kernel/debug/split_huge_pages", 1);
	expect_more("thp_split_page", split);
	kg_require(!madvise(map + 2 * HUGE, HUGE, COLLAPSE), "collapse: %s", strerror(errno));
	expect_more("thp_collapse_alloc", collapsed);
	kg_expect(map[3 * HUGE - 1] == 'x', "a collapsed page has lost its content");
}

static void huge_pages_of_files(void)
{
	int file = file_on("tmpfs", "none", "huge=always", 4 * HUGE);
	long split = kg_field("/proc/vmstat", "thp_split_page");
	char *map = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	kg_require(map[HUGE] == 'x', "the file has '%c'", map[HUGE]);
	kg_require(!fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * KG_PAGE,
			      HUGE - 7 * KG_PAGE), "hole: %s", strerror(errno));
	kg_require(!ftruncate(file, 3 * HUGE - 5 * KG_PAGE), "ftruncate: %s", strerror(errno));
	expect_more("thp_split_page", split);
	kg_expect(map[0] == 'x' && map[4 * KG_PAGE] == 0, "the hole is where it should not be");
}

static void compaction(void)
{
	long scanned = kg_field("/proc/vmstat", "compact_migrate_scanned");
	long isolated = kg_field("/proc/vmstat", "compact_isolated");
	char *map = touched(64 * HUGE);
	size_t i;

	/* Every other page goes, so that there is something to move together. */
	for (i = 0; i < 64 * HUGE; i += 2 * KG_PAGE)
		madvise(map + i, KG_PAGE, MADV_DONTNEED);
	kg_write("/proc/sys/vm/compact_memory", 1);
	expect_more("compact_migrate_scanned", scanned);
	expect_more("compact_isolated", isolated);
	kg_expect(map[KG_PAGE] == 'x', "a moved page has lost its content");
}

static void idle_page_tracking(void)
{
	char *map = touched(PAGES * KG_PAGE);
	unsigned long word, pfn = kg_pfn_of(map) / 64 * 64;
	int file = open(IDLE, O_RDWR | O_CLOEXEC);

	kg_require(file >= 0, IDLE ": %s", strerror(errno));
	word = ~0UL;
	kg_require(pwrite(file, &word, sizeof(word), pfn / 8) == sizeof(word), "write: %s",
		   strerror(errno));
	kg_require(pread(file, &word, sizeof(word), pfn / 8) == sizeof(word), "read: %s",
		   strerror(errno));
	kg_expect(word, "none of the pages at %lx was marked", pfn);
	close(file);
}

static void memory_failure(void)
{
	char *map = touched(PAGES * KG_PAGE);
	unsigned long pfn = kg_pfn_of(map);

	kg_need_memory_failure();
	kg_require(!madvise(map, KG_PAGE, SOFT_OFFLINE), "soft: %s", strerror(errno));
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RCU-01", page_cache),
	KG_CASE("RCU-01", swapping),
	KG_CASE("RCU-01", swapping_of_shared_memory),
	KG_CASE("RCU-01", reclaim),
	KG_CASE("RCU-01", huge_pages),
	KG_CASE("RCU-01", huge_pages_of_files),
	KG_CASE("RCU-01", compaction),
	KG_CASE("RCU-01", idle_page_tracking),
	KG_CASE("RCU-01", memory_failure),
	{}
};
