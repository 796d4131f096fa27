// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is in pieces is put together again: by request, and by whoever needs a large
 * block. Compaction takes free pages off the lists itself, moves used ones there, and has
 * to see to their counts.
 */
#include "kg_nodes.h"
#include "kg_take.h"

/* What a case leaves of the second node, in kB: so much that nobody else compacts it. */
#define KG_LEFT		(16L << 10)
/* Neither small nor as large as what moves at a time. */
#define KG_ORDER	6
#define KG_REQUESTS	1000
/* So many pages have to move, or nothing was tried; how many is for the kernel to say. */
#define KG_MOVED	256L
/* Every so many pages its count is looked at. */
#define KG_STEP		16
#define KG_TRIES	50
#define KG_TRY_US	10000

struct kg_pieces {
	char *map;
	unsigned long pages;
};

static unsigned long *kg_word_of(const struct kg_pieces *pieces, unsigned long page)
{
	return (unsigned long *)(pieces->map + page * KG_PAGE);
}

/* So many pages of ours, each with its number in it; of @nodes only, a bit each, if any. */
static struct kg_pieces kg_fill(unsigned long pages, unsigned long nodes)
{
	struct kg_pieces pieces = { .pages = pages };
	unsigned long i;

	pieces.map = mmap(NULL, pages * KG_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	kg_require(pieces.map != MAP_FAILED, "mmap: %s", strerror(errno));
	madvise(pieces.map, pages * KG_PAGE, MADV_NOHUGEPAGE);
	if (nodes)
		kg_require(!syscall(SYS_mbind, pieces.map, pages * KG_PAGE, MPOL_BIND, &nodes,
				    8 * sizeof(nodes), 0), "mbind: %s", strerror(errno));
	for (i = 0; i < pages; i++)
		*kg_word_of(&pieces, i) = i;
	return pieces;
}

/* Give back every other page, so that what is free is in single pages. */
static void kg_break_up(const struct kg_pieces *pieces)
{
	unsigned long i;

	for (i = 1; i < pieces->pages; i += 2)
		kg_require(!madvise(pieces->map + i * KG_PAGE, KG_PAGE, MADV_DONTNEED),
			   "madvise: %s", strerror(errno));
}

/*
 * Whoever moves a page holds it, and for a moment it is not there; the lists of single CPUs have
 * references as well. None of that lasts: what is wrong is wrong after some more tries.
 */
static unsigned int kg_settled_raw(const unsigned long *word, unsigned long *pfn)
{
	unsigned int raw = 0;
	int i;

	for (i = 0; i < KG_TRIES && raw != 1; i++) {
		if (i) {
			usleep(KG_TRY_US);
			kg_write("/proc/sys/vm/drop_caches", 1);
		}
		while (!kg_is_there(word))
			__atomic_load_n(word, __ATOMIC_RELAXED); /* waits until it has been moved */
		*pfn = kg_pfn_of(word);
		raw = kg_raw(*pfn);
	}
	return raw;
}

/* What is left holds what was written, and its pages have one reference each. */
static void kg_check_pieces(const struct kg_pieces *pieces)
{
	unsigned long i, wrong = 0, pfn = 0;
	unsigned int raw;

	for (i = 0; i < pieces->pages; i += 2)
		wrong += *kg_word_of(pieces, i) != i;
	kg_expect(!wrong, "%lu pages hold something else than before", wrong);
	kg_write("/proc/sys/vm/drop_caches", 1);
	for (i = 0; i < pieces->pages; i += 2 * KG_STEP) {
		raw = kg_settled_raw(kg_word_of(pieces, i), &pfn);
		kg_expect(raw == 1, "pfn %lx is ours with raw %08x", pfn, raw);
	}
}

static void kg_unmap(const struct kg_pieces *pieces)
{
	kg_require(!munmap(pieces->map, pieces->pages * KG_PAGE), "munmap: %s", strerror(errno));
	kg_drain();
}

static long kg_event(const char *name)
{
	return kg_field("/proc/vmstat", name);
}

/* A third of all memory is in pieces, whose other half is to be moved together. */
static void pages_moved_by_compaction_are_counted(void)
{
	unsigned long pages = kg_field("/proc/meminfo", "MemFree") / 3 * 1024 / KG_PAGE;
	struct kg_pieces pieces = kg_fill(pages, 0);
	long moved = kg_event("pgmigrate_success");

	kg_break_up(&pieces);
	kg_write("/proc/sys/vm/compact_memory", 1);
	moved = kg_event("pgmigrate_success") - moved;
	kg_note("%ld of %lu pages were moved", moved, pages / 2);
	kg_expect(moved >= KG_MOVED, "only %ld of %lu pages were moved", moved, pages / 2);
	kg_check_pieces(&pieces);
	kg_unmap(&pieces);
}

static long kg_free_on_second_node(void)
{
	static char text[4096];
	char *at;

	kg_require(kg_try_read("/sys/devices/system/node/node1/meminfo", text, sizeof(text)),
		   "meminfo of node 1: %s", strerror(errno));
	at = strstr(text, "MemFree:");
	kg_require(at, "meminfo of node 1: %s", text);
	return strtol(at + strlen("MemFree:"), NULL, 10);
}

/*
 * Take large blocks until one of them was got by compaction. Where the kernel's own thread has gone
 * through the node before, it looks nowhere for some hundred requests, and begins again then
 * (compaction_restarting(), mm/compaction.c).
 */
static void kg_take_compacted(enum kg_how how)
{
	long before = kg_event("compact_success");
	int tries, error, taken = 0;

	for (tries = 0; tries < KG_REQUESTS && taken < KG_MOST_TAKEN; tries++) {
		if (kg_event("compact_success") > before)
			break;
		error = kg_try_take(how, "costly", KG_ORDER, 1);
		kg_require(!error || error == ENOMEM, "a block of order %u: %s", KG_ORDER,
			   strerror(error));
		taken += !error;
	}
	kg_note("%d blocks in %d tries", taken, tries);
	kg_expect(kg_event("compact_success") > before, "no block was got by compaction");
}

/* Large blocks of a node that has none, and enough free pages. */
static void kg_check_direct_compaction(enum kg_how how)
{
	static struct kg_taken taken[KG_MOST_TAKEN];
	unsigned long second = 2, none = 0;
	struct kg_pieces pieces;

	kg_need_two_nodes();
	kg_need_frozen_policy(how);
	pieces = kg_fill((kg_free_on_second_node() - KG_LEFT) * 1024 / KG_PAGE, second);
	kg_break_up(&pieces);
	kg_drain();
	syscall(SYS_set_mempolicy, MPOL_BIND, &second, 8 * sizeof(second));
	kg_take_compacted(how);
	syscall(SYS_set_mempolicy, MPOL_DEFAULT, &none, 8 * sizeof(none));
	kg_expect_taken(taken, kg_read_taken(taken), how);
	kg_give();
	kg_check_pieces(&pieces);
	kg_unmap(&pieces);
}

static void block_of_direct_compaction_has_one_reference(void)
{
	kg_check_direct_compaction(KG_COUNTED);
}

static void block_of_direct_compaction_is_frozen(void)
{
	kg_check_direct_compaction(KG_FROZEN_PAGES);
}

const struct kg_case kg_cases[] = {
	KG_CASE("BIS-COMP", pages_moved_by_compaction_are_counted),
	KG_CASE("FP-07", block_of_direct_compaction_has_one_reference),
	KG_CASE("FP-07", block_of_direct_compaction_is_frozen),
	{}
};
