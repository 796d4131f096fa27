// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages got from a mapping without its lock, while the mapping changes.
 *
 * vmsplice() gets pages of ours for a pipe, by get_user_pages_fast(); meanwhile they
 * are unmapped, dropped, or shared with a child that writes to its copies. Each page
 * is empty or holds its address. What the child writes is never seen by us: if it
 * were, the reference of the pipe was not counted when it was decided who copies.
 */
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kg_sides.h"

/* As many as a pipe takes at once. */
#define KG_PAGES	16
#define KG_GUP_TEST	"/sys/kernel/debug/gup_test"

/* mm/gup_test.h, which is not for user space: struct gup_test, and two of its commands. */
struct kg_gup_test {
	unsigned long long get_usec;
	unsigned long long put_usec;
	unsigned long long address;
	unsigned long long size;
	unsigned int pages_per_call;
	unsigned int gup_flags;
	unsigned int test_flags;
	unsigned int which_pages[8];
};

#define KG_GET_FAST	_IOWR('g', 1, struct kg_gup_test)
#define KG_PIN_FAST	_IOWR('g', 2, struct kg_gup_test)
#define KG_FOLL_WRITE	1

static struct kg_region kg_region;
static int kg_pipe[2];
static int kg_gup_test;

static bool kg_map(int protection)
{
	void *map = mmap(kg_region.map, KG_PAGES * KG_PAGE, protection,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (map == MAP_FAILED)
		kg_violated("mmap: %s", strerror(errno));
	madvise(map, KG_PAGES * KG_PAGE, MADV_NOHUGEPAGE);
	return map != MAP_FAILED;
}

/* Empty, or its own: of this life or of one before. */
static bool kg_is_ours(unsigned long word, unsigned long page)
{
	return !word || word == (uintptr_t)kg_words(&kg_region, page);
}

static void kg_fill(void)
{
	unsigned long page;

	for (page = 0; page < KG_PAGES; page++) {
		unsigned long *words = kg_words(&kg_region, page);

		if (!kg_is_ours(__atomic_load_n(words, __ATOMIC_RELAXED), page))
			kg_violated("page %lu of ours holds %lx", page, *words);
		__atomic_store_n(words, (uintptr_t)words, __ATOMIC_RELAXED);
	}
}

/* In a child: no other thread came along, so that nothing but system calls is safe. */
__noreturn
static void kg_live_as_child(void)
{
	unsigned long page;
	bool ours = true;

	for (page = 0; page < KG_PAGES; page++) {
		unsigned long *words = kg_words(&kg_region, page);

		ours &= kg_is_ours(__atomic_load_n(words, __ATOMIC_RELAXED), page);
		__atomic_store_n(words, ~(uintptr_t)words, __ATOMIC_RELAXED);
	}
	_exit(ours ? 0 : 1);
}

/* The child copies pages by writing to them, and so do we. */
static bool kg_fork(void)
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		kg_live_as_child();
	if (child < 0)
		return false;
	kg_fill();
	if (waitpid(child, &status, 0) != child || status)
		kg_violated("the child saw what was not ours: status %x", status);
	return true;
}

/* The address is never anybody else's: what is not there is mapped without access. */
static bool kg_unmap(void)
{
	bool mapped = kg_map(PROT_NONE);

	sched_yield();
	mapped &= kg_map(PROT_READ | PROT_WRITE);
	kg_fill();
	return mapped;
}

static bool kg_drop(void)
{
	bool dropped = !madvise(kg_region.map, KG_PAGES * KG_PAGE, MADV_DONTNEED);

	kg_fill();
	return dropped;
}

static void kg_turn_change(struct kg_side *side)
{
	static bool (* const change[])(void) = { kg_fork, kg_unmap, kg_drop };

	kg_score(side, change[side->turns % 3]());
}

/* Getters without a pause would keep the mapping's lock from whoever changes it. */
static void kg_give_way(const struct kg_side *side)
{
	if (side->turns % 4 == 0)
		usleep(100);
}

static void kg_check_pipe(size_t size)
{
	static unsigned long words[KG_PAGES * 65536 / sizeof(long)];
	size_t page;

	if (read(kg_pipe[0], words, size) != (ssize_t)size)
		return kg_violated("the pipe lost a part of %zu bytes", size);
	for (page = 0; page < size / KG_PAGE; page++) {
		unsigned long word = words[page * KG_PAGE / sizeof(long)];

		if (!kg_is_ours(word, page))
			kg_violated("page %zu came out of the pipe with %lx", page, word);
	}
}

static void kg_turn_splice(struct kg_side *side)
{
	struct iovec all = { .iov_base = kg_region.map, .iov_len = KG_PAGES * KG_PAGE };
	ssize_t size = vmsplice(kg_pipe[1], &all, 1, SPLICE_F_NONBLOCK);

	/* Half of the time it stays in there while things go on. */
	if (side->turns % 2)
		sched_yield();
	if (size > 0)
		kg_check_pipe(size);
	kg_score(side, size > 0);
	kg_give_way(side);
}

/* Pins are for writing: one of the page that is shared by all that is empty is none. */
static void kg_turn_pin(struct kg_side *side)
{
	bool pin = side->turns % 2;
	struct kg_gup_test test = {
		.address = (uintptr_t)kg_region.map,
		.size = KG_PAGES * KG_PAGE,
		.pages_per_call = KG_PAGES,
		.gup_flags = pin ? KG_FOLL_WRITE : 0,
	};
	int error = ioctl(kg_gup_test, pin ? KG_PIN_FAST : KG_GET_FAST, &test);

	kg_score(side, !error && test.size == KG_PAGES * KG_PAGE);
	kg_give_way(side);
}

static void mapping_changes_under_pages_that_are_got(void)
{
	struct kg_side sides[] = {
		{ .name = "changes the mapping", .turn = kg_turn_change },
		{ .name = "splices", .turn = kg_turn_splice, .must_lose = true },
		{ .name = "pins", .turn = kg_turn_pin, .must_lose = true },
	};

	kg_gup_test = open(KG_GUP_TEST, O_RDWR | O_CLOEXEC);
	if (kg_gup_test < 0)
		kg_skip("nothing to pin with: a kernel with CONFIG_GUP_TEST");
	kg_require(!pipe2(kg_pipe, O_CLOEXEC), "pipe: %s", strerror(errno));
	kg_region = kg_make_region(KG_PAGES);
	kg_race(sides, 3);
	close(kg_pipe[0]);
	close(kg_pipe[1]);
	kg_check_region(&kg_region);
}

const struct kg_case kg_cases[] = {
	KG_CASE("RACE-10", mapping_changes_under_pages_that_are_got),
	{}
};
