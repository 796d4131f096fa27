/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine's persistent memory as a disk with a file system that maps it directly, and
 * what its pages count.
 *
 * What counts is one reference a mapping and one a pin: vmf_insert_page_mkwrite()
 * takes the mapping's, and dax_fault_iter() gives its own back (fs/dax.c, 7.2). Before
 * 6.15 the file system's is the only one, but for pins: __put_devmap_managed_page_refs()
 * takes a page at 1 for idle (mm/memremap.c, 6.12).
 */
#ifndef KG_PMEM_H
#define KG_PMEM_H

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

static inline void kg_write_text(const char *path, const char *text)
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
static inline void kg_ask_for_pages(void)
{
	if (access(DISK, F_OK))
		kg_skip("no persistent memory: run on --machine nvdimm");
	if (kg_read(SYS_DISK "queue/dax"))
		return;
	kg_write_text(ND_DRIVER "unbind", "namespace0.0");
	kg_write_text(ND_PFN "mode", "ram");
	kg_write_text(ND_PFN "uuid", "6b67686f-0000-4000-8000-6b67686f0001");
	kg_write_text(ND_PFN "namespace", "namespace0.0");
	kg_write_text(ND_DRIVER "bind", "pfn0.0");
	kg_require(kg_read(SYS_DISK "queue/dax"), "the disk still has no pages");
}

/* A file system whose blocks are pages, as DAX has it; busybox makes an ext2, which ext4 mounts. */
static inline void kg_make_disk(void)
{
	int status;

	kg_ask_for_pages();
	status = system("busybox mke2fs -b 4096 -i 1048576 " DISK " >/dev/null");
	kg_require(!status, "mke2fs " DISK ": status %d", status);
}

static inline void kg_mount_made_disk(void)
{
	mkdir(FOLDER, 0700);
	kg_require(!mount(DISK, FOLDER, "ext4", 0, "dax"), "mount -o dax: %s", strerror(errno));
}

static inline void kg_mount_disk(void)
{
	kg_make_disk();
	kg_mount_made_disk();
}

/* A file of FILE_PAGES blocks, of which each begins with its number. */
static inline int kg_make_file(void)
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

static inline char *kg_map_file(int file, int flags)
{
	char *map = mmap(NULL, FILE_PAGES * KG_PAGE, PROT_READ | PROT_WRITE, flags, file, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

static inline char *kg_map_new_file(void)
{
	kg_mount_disk();
	return kg_map_file(kg_make_file(), MAP_SHARED);
}

/* The count that a page has by so many mappings and pins. */
static inline void kg_expect_count(unsigned long pfn, long mappings, long pins, const char *when)
{
	long count = (kg_idle_dax_is_frozen() ? mappings : 1) + pins;

	kg_expect(kg_count(pfn) == count, "%s: page %lx has raw %08x, asked for a count of %ld",
		  when, pfn, kg_raw(pfn), count);
}

static inline void kg_expect_idle(unsigned long pfn, const char *when)
{
	kg_expect_count(pfn, 0, 0, when);
	if (!kg_idle_dax_is_frozen())
		return;
	kg_expect(kg_frozen(pfn), "%s: page %lx is not frozen: raw %08x", when, pfn, kg_raw(pfn));
	kg_expect(!kg_try_get(pfn), "%s: a reference on page %lx could be had", when, pfn);
}

/* A pipe holds the page MAP as a reference of its own until somebody reads it. */
static inline void kg_give_to_pipe(int ends[2], char *map)
{
	struct iovec page = { .iov_base = map, .iov_len = KG_PAGE };

	kg_require(!pipe(ends), "pipe: %s", strerror(errno));
	kg_require(vmsplice(ends[1], &page, 1, 0) == (ssize_t)KG_PAGE, "vmsplice: %s",
		   strerror(errno));
}

static inline void kg_take_from_pipe(int ends[2], char first)
{
	static char page[4096];

	kg_require(read(ends[0], page, sizeof(page)) == sizeof(page), "read: %s", strerror(errno));
	kg_expect(page[0] == first, "the pipe had '%c'", page[0]);
}

/* Whether CHILD has ended within a fifth of a second. */
static inline bool kg_ended(pid_t child)
{
	int i;

	for (i = 0; i < 20; i++) {
		if (waitpid(child, NULL, WNOHANG) == child)
			return true;
		usleep(10000);
	}
	return false;
}

/*
 * WORK on FILE, in a child, has to wait until what the pipe holds is taken from it: page
 * PFN, which begins with FIRST.
 */
static inline void kg_expect_waits(int (*work)(int file), int file, int ends[2],
				   unsigned long pfn, char first)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(work(file) ? 1 : 0);
	kg_require(!kg_ended(child), "the page was taken away from who holds it");
	kg_expect_count(pfn, 0, 1, "while somebody waits for it");
	kg_take_from_pipe(ends, first);
	kg_require(waitpid(child, &status, 0) == child && !status, "status %x", status);
}

/* A hole where the first two blocks of FILE were. */
static inline int kg_punch(int file)
{
	return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * KG_PAGE);
}

#endif
