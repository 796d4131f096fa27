// SPDX-License-Identifier: GPL-2.0-only
/*
 * One small page, pinned by a process until its count has no room left. A pin counts
 * for 1024 (GUP_PIN_COUNTING_BIAS, include/linux/mm.h), so that 2^21 of them are more
 * than INT_MAX. The page is that of a file in memory, mapped 2^14 times in a row, and
 * io_uring pins the whole row for each buffer that it is given: no right is needed but
 * that to lock memory.
 *
 * Nobody pins any further than to where the count has gone over: from there on the
 * kernel warns of each get that goes by a mapping (try_get_folio(), mm/gup.c).
 */
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kg_tap.h"

/* Only kernels with io_uring have it, from 6.6 on. */
#define KG_IO_URING	"/proc/sys/kernel/io_uring_disabled"
#define MAPS		16384
#define BUFFERS		1024
#define PIN		1024UL
#define OVER		0x80000000UL
/* What takes microseconds has so long to end. */
#define READ_TRIES	500
#define READ_TRY_US	10000
#define STAMP		"still the page of this file"

static int ring;
static int file;
static char *maps;
static unsigned long pfn;
static unsigned int buffers;

static void map_file(void)
{
	unsigned int i;

	file = memfd_create("kg_pin_overflow", MFD_CLOEXEC);
	kg_require(file >= 0 && !ftruncate(file, KG_PAGE), "memfd: %s", strerror(errno));
	kg_require(pwrite(file, STAMP, sizeof(STAMP), 0) == sizeof(STAMP), "write: %s",
		   strerror(errno));
	maps = mmap(NULL, MAPS * KG_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kg_require(maps != MAP_FAILED, "mmap: %s", strerror(errno));
	for (i = 0; i < MAPS; i++)
		kg_require(mmap(maps + i * KG_PAGE, KG_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED | MAP_POPULATE, file, 0) != MAP_FAILED,
			   "map %u of %u: %s", i, MAPS, strerror(errno));
}

static int ring_register(unsigned int what, void *argument, unsigned int size)
{
	return syscall(__NR_io_uring_register, ring, what, argument, size);
}

/* A ring with a table of BUFFERS buffers, all of them empty. */
static void make_ring(void)
{
	struct io_uring_params params = {};
	struct io_uring_rsrc_register table = {
		.nr = BUFFERS,
		.flags = IORING_RSRC_REGISTER_SPARSE,
	};

	if (access(KG_IO_URING, F_OK))
		kg_skip("no io_uring, which pins this often: run with --config devices --base 7.2");
	ring = syscall(__NR_io_uring_setup, 1, &params);
	kg_require(ring >= 0, "io_uring_setup: %s", strerror(errno));
	kg_require(!ring_register(IORING_REGISTER_BUFFERS2, &table, sizeof(table)),
		   "a table of buffers: %s", strerror(errno));
}

/* Pin the page PINS times more; returns 0 or the error. */
static int pin(unsigned long pins)
{
	struct iovec row = { .iov_base = maps, .iov_len = pins * KG_PAGE };
	struct io_uring_rsrc_update2 update = {
		.offset = buffers,
		.data = (uintptr_t)&row,
		.nr = 1,
	};

	kg_require(buffers < BUFFERS, "the count is %08x after %u buffers", kg_raw(pfn), buffers);
	if (ring_register(IORING_REGISTER_BUFFERS_UPDATE, &update, sizeof(update)) != 1)
		return errno;
	buffers++;
	return 0;
}

/*
 * The first pin may move the page, to where it can stay. What waits for the LRU holds
 * a reference; drop_caches_sysctl_handler() (fs/drop_caches.c) has it put there.
 */
static void pin_once(void)
{
	int error;

	make_ring();
	map_file();
	error = pin(1);
	kg_require(!error, "the first pin: %s", strerror(error));
	kg_write("/proc/sys/vm/drop_caches", 1);
	pfn = kg_pfn_of(maps);
}

/* The last ones one by one, until the count is over, or the kernel wants no more. */
static void pin_until_the_end(void)
{
	unsigned long room, pins;
	int error = 0;

	while (!error) {
		unsigned int raw = kg_raw(pfn);

		if (raw >= OVER)
			break;
		room = (OVER - raw) / PIN;
		pins = room > MAPS ? MAPS : room > 1 ? room - 1 : 1;
		error = pin(pins);
	}
	kg_note("%u buffers, raw %08x, %s", buffers, kg_raw(pfn),
		error ? strerror(error) : "none refused");
}

static void unpin(void)
{
	kg_require(!ring_register(IORING_UNREGISTER_BUFFERS, NULL, 0), "unregister: %s",
		   strerror(errno));
	close(ring);
}

static void page_pinned_to_the_end_comes_back_with_its_count(void)
{
	unsigned int before;

	pin_once();
	before = kg_raw(pfn) - PIN;
	pin_until_the_end();
	unpin();
	kg_expect(kg_raw(pfn) == before, "raw %08x, and %08x before", kg_raw(pfn), before);
	munmap(maps, MAPS * KG_PAGE);
	close(file);
}

/* In a child, as a read that does not end cannot be ended: 0 if it is the file's content. */
__noreturn
static void read_as_child(void)
{
	char text[sizeof(STAMP)] = "";

	_exit(pread(file, text, sizeof(text), 0) != sizeof(text) || strcmp(text, STAMP));
}

/* Read the file; what it was, as wait() has it, or -1 if there was no end to it. */
static int read_file(void)
{
	int status = -1, i;
	pid_t child = fork();

	kg_require(child >= 0, "fork: %s", strerror(errno));
	if (!child)
		read_as_child();
	for (i = 0; i < READ_TRIES && !waitpid(child, &status, WNOHANG); i++)
		usleep(READ_TRY_US);
	return i < READ_TRIES ? status : -1;
}

/* A lookup in the page cache takes a reference, and tries until it has one. */
static void page_pinned_to_the_end_is_found_in_its_file(void)
{
	int status;

	pin_once();
	madvise(maps, MAPS * KG_PAGE, MADV_DONTFORK);
	pin_until_the_end();
	status = read_file();
	kg_require(status != -1, "reading the file does not end");
	kg_expect(!status, "reading the file: status %x", status);
	unpin();
	munmap(maps, MAPS * KG_PAGE);
	close(file);
}

const struct kg_case kg_cases[] = {
	KG_CASE("PIN-02", page_pinned_to_the_end_comes_back_with_its_count),
	KG_CASE("PIN-02", page_pinned_to_the_end_is_found_in_its_file),
	{}
};
