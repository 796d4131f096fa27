/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A race between threads, as kmod/race.h has it between kernel threads.
 *
 * Each side is pinned to a CPU and takes turns until all have had enough of them
 * and have won often enough. A side that never won, or never lost though it must
 * be able to, has shown nothing: that fails the case. What the race is about is
 * known from outside as well, by the kernel's own counters in /proc/vmstat.
 */
#ifndef KG_SIDES_H
#define KG_SIDES_H

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "kg_tap.h"

#define KG_MAX_SIDES	8
/* Of each side, at least: what moves a page waits for all CPUs, tens of milliseconds each time. */
#define KG_TURNS	20
#define KG_WINS		10
/* Emulated on a busy machine, in seconds; otherwise a race takes one or two. */
#define KG_DEADLINE	30

struct kg_side {
	const char *name;
	void (*turn)(struct kg_side *side);
	/* What this one does goes wrong now and then, or nobody was in its way. */
	bool must_lose;
	unsigned int seed;
	unsigned long turns;
	unsigned long won;
	unsigned long lost;
	pthread_t thread;
};

static bool kg_over;
static char kg_violation[256];
static bool kg_is_violated;

/* What must never be seen was; the first of it is told. The race ends. */
__printf(1, 2)
static inline void kg_violated(const char *format, ...)
{
	va_list values;

	if (__atomic_exchange_n(&kg_is_violated, true, __ATOMIC_SEQ_CST))
		return;
	va_start(values, format);
	vsnprintf(kg_violation, sizeof(kg_violation), format, values);
	va_end(values);
	__atomic_store_n(&kg_over, true, __ATOMIC_SEQ_CST);
}

static inline void kg_score(struct kg_side *side, bool won)
{
	__atomic_add_fetch(won ? &side->won : &side->lost, 1, __ATOMIC_RELAXED);
}

/* A number below @limit, another one each turn. */
static inline unsigned long kg_any(struct kg_side *side, unsigned long limit)
{
	return rand_r(&side->seed) % limit;
}

static void *kg_take_turns(void *data)
{
	struct kg_side *side = data;

	while (!__atomic_load_n(&kg_over, __ATOMIC_RELAXED)) {
		side->turn(side);
		__atomic_add_fetch(&side->turns, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned long kg_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

static void kg_pin(pthread_t thread, unsigned long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % kg_cpus(), &set);
	kg_require(!pthread_setaffinity_np(thread, sizeof(set), &set), "no CPU %lu", cpu);
}

static bool kg_had_enough(struct kg_side *sides, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (__atomic_load_n(&sides[i].turns, __ATOMIC_RELAXED) < KG_TURNS ||
		    __atomic_load_n(&sides[i].won, __ATOMIC_RELAXED) < KG_WINS)
			return false;
		if (sides[i].must_lose && !__atomic_load_n(&sides[i].lost, __ATOMIC_RELAXED))
			return false;
	}
	return true;
}

static void kg_wait_for_sides(struct kg_side *sides, unsigned long nr)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	time_t deadline = time(NULL) + KG_DEADLINE;

	while (!__atomic_load_n(&kg_over, __ATOMIC_SEQ_CST) && !kg_had_enough(sides, nr) &&
	       time(NULL) < deadline)
		nanosleep(&pause, NULL);
	__atomic_store_n(&kg_over, true, __ATOMIC_SEQ_CST);
}

static void kg_judge_side(const struct kg_side *side)
{
	kg_note("%s: %lu turns, %lu won, %lu lost", side->name, side->turns, side->won,
		side->lost);
	kg_expect(side->won, "%s never won, so nothing was shown", side->name);
	kg_expect(!side->must_lose || side->lost, "%s never lost, so nothing was shown",
		  side->name);
}

static inline void kg_race(struct kg_side *sides, unsigned long nr)
{
	unsigned long i;

	kg_require(kg_cpus() > 1, "one CPU has nobody to race with");
	for (i = 0; i < nr; i++) {
		sides[i].seed = i + 1;
		kg_require(!pthread_create(&sides[i].thread, NULL, kg_take_turns, &sides[i]),
			   "no thread");
		kg_pin(sides[i].thread, i);
	}
	kg_wait_for_sides(sides, nr);
	for (i = 0; i < nr; i++)
		pthread_join(sides[i].thread, NULL);
	for (i = 0; i < nr; i++)
		kg_judge_side(&sides[i]);
	kg_expect(!kg_is_violated, "%s", kg_violation);
}

/* How often the kernel has done what it calls NAME in /proc/vmstat. */
static inline unsigned long kg_events(const char *name)
{
	long events = kg_field("/proc/vmstat", name);

	kg_require(events >= 0, "/proc/vmstat has no %s", name);
	return events;
}

/* The kernel's own account of the race: it must have done so meanwhile. */
static inline void kg_expect_events(const char *name, unsigned long before)
{
	unsigned long events = kg_events(name) - before;

	kg_note("%s: %lu", name, events);
	kg_expect(events, "there was no %s", name);
}

/*
 * Memory that the sides look at while it moves. Each page has its own address in
 * its first word, and counts in the second one what was added to it.
 */

#define KG_PRESENT	KG_BIT(63)
#define KG_SWAPPED	KG_BIT(62)
#define KG_PFN(word)	((word) & (KG_BIT(55) - 1))

struct kg_region {
	char *map;
	unsigned long pages;
	unsigned long *added;
};

static inline unsigned long *kg_words(const struct kg_region *region, unsigned long page)
{
	return (unsigned long *)(region->map + page * KG_PAGE);
}

static inline unsigned long long kg_where(const struct kg_region *region, unsigned long page)
{
	return kg_word("/proc/self/pagemap", (uintptr_t)kg_words(region, page) / KG_PAGE);
}

static inline struct kg_region kg_make_region(unsigned long pages)
{
	struct kg_region region = { .pages = pages, .added = calloc(pages, sizeof(long)) };
	unsigned long i;

	region.map = mmap(NULL, pages * KG_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kg_require(region.map != MAP_FAILED && region.added, "%lu pages: %s", pages,
		   strerror(errno));
	/* Pages, not huge ones: each has a count of its own. */
	madvise(region.map, pages * KG_PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < pages; i++)
		kg_words(&region, i)[0] = (uintptr_t)kg_words(&region, i);
	return region;
}

/* Look at a page and add to it, wherever it is by now. */
static inline void kg_use(const struct kg_region *region, unsigned long page)
{
	unsigned long *words = kg_words(region, page);

	if (__atomic_load_n(&words[0], __ATOMIC_RELAXED) != (uintptr_t)words)
		kg_violated("page %lu has become another one", page);
	__atomic_add_fetch(&words[1], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&region->added[page], 1, __ATOMIC_RELAXED);
}

/* Nothing was lost, and each page has the one reference of its mapping. */
static inline void kg_check_region(const struct kg_region *region)
{
	unsigned long i, wrong = 0, held = 0;

	for (i = 0; i < region->pages; i++)
		wrong += kg_words(region, i)[0] != (uintptr_t)kg_words(region, i) ||
			 kg_words(region, i)[1] != region->added[i];
	kg_expect(!wrong, "%lu of %lu pages do not hold what was written", wrong, region->pages);

	/* Which empties the lists of the CPUs as well; they have references. */
	kg_write("/proc/sys/vm/drop_caches", 1);
	for (i = 0; i < region->pages; i++) {
		unsigned long pfn = KG_PFN(kg_where(region, i));

		if (kg_count(pfn) == 1)
			continue;
		if (!held++)
			kg_note("page %lu has %ld references, raw %08x", i, kg_count(pfn),
				kg_raw(pfn));
	}
	kg_expect(!held, "%lu of %lu pages have not one reference", held, region->pages);
}

/*
 * A getter by page number. It wins if it got the page that was behind the address, and
 * that was still there when it had it; what it got else belongs to somebody else by now.
 *
 * The kernel's own walker, page_idle, is no such getter: it asks a page for its LRU flag
 * before it has a reference, and where that page has become a tail since it was looked
 * up, DEBUG_VM_PGFLAGS ends it (mm/page_idle.c, page_idle_get_folio(), 7.2).
 */
static inline bool kg_catch(const struct kg_region *region, unsigned long page, useconds_t pause)
{
	unsigned long long where = kg_where(region, page);
	bool caught;

	if (!(where & KG_PRESENT))
		return false;
	if (pause)
		usleep(pause);
	if (!kg_try_get(KG_PFN(where)))
		return false;
	caught = KG_PFN(kg_where(region, page)) == KG_PFN(where);
	kg_put(KG_PFN(where));
	return caught;
}

#endif
