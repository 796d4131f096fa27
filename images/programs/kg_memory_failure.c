// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are taken out of use, softly (their contents move) or hard, and
 * given back. Such a page was frozen a moment before, as it was free, or just
 * freed; what keeps it out of use is a reference.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/klog.h>

#include "kg_base.h"
#include "kg_hugetlb.h"
#include "kg_poison.h"

/* The C library names it not on every architecture. */
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

#define KG_DISK		"/dev/ram0"
#define KG_LOG_READ_ALL	3

static void kg_expect_contents(const char *page)
{
	unsigned long i;

	for (i = 0; i < KG_PAGE; i++)
		kg_require(page[i] == 0x5a, "byte %lu of the page has become %02x", i, page[i]);
}

static void kg_soft_offline(char *address, unsigned long size)
{
	kg_note("soft offline of pfn %lx", kg_pfn_of(address));
	kg_require(!madvise(address, size, MADV_SOFT_OFFLINE), "MADV_SOFT_OFFLINE: %s",
		   strerror(errno));
	kg_expect_contents(address);
}

static void anonymous_page_is_soft_offlined(void)
{
	unsigned long pfn;
	char *page;

	kg_need_memory_failure();
	page = mmap(NULL, KG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kg_require(page != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(page, 0x5a, KG_PAGE);
	pfn = kg_pfn_of(page);
	kg_soft_offline(page, KG_PAGE);
	kg_expect(kg_pfn_of(page) != pfn, "the contents are where they were");
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

/* The first page of a disk in memory, in the page cache; FILE keeps it there. */
static unsigned long kg_cached_pfn(int file)
{
	unsigned long pfn;
	char *page;

	page = mmap(NULL, KG_PAGE, PROT_READ, MAP_SHARED, file, 0);
	kg_require(page != MAP_FAILED, "mmap: %s", strerror(errno));
	kg_note("first byte of %s: %02x", KG_DISK, *page);
	pfn = kg_pfn_of(page);
	munmap(page, KG_PAGE);
	return pfn;
}

static bool kg_logged(const char *text)
{
	static char log[1 << 20];
	int size = klogctl(KG_LOG_READ_ALL, log, sizeof(log) - 1);

	return size > 0 && strstr(log, text);
}

/* Clean and mapped by nobody: it is dropped, and nothing has to move. */
static void page_cache_page_is_soft_offlined(void)
{
	int file = open(KG_DISK, O_RDONLY | O_CLOEXEC);
	unsigned long pfn;

	kg_need_memory_failure();
	if (file < 0)
		kg_skip("no disk in memory: CONFIG_BLK_DEV_RAM=y");
	pfn = kg_cached_pfn(file);
	kg_note("soft offline of pfn %lx", pfn);
	kg_take_offline(KG_SOFT_OFFLINE, pfn);
	kg_expect(kg_logged("invalidated"), "the page was not dropped from the page cache");
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
	close(file);
}

static void huge_page_is_soft_offlined(void)
{
	unsigned long pfn;
	char *map;

	kg_need_memory_failure();
	kg_set_pool(2);
	map = kg_map_huge(1);
	pfn = kg_pfn_of(map);
	kg_soft_offline(map, KG_HUGE_SIZE);
	kg_expect(kg_pfn_of(map) != pfn, "the contents are where they were");
	kg_expect(!(kg_flags(pfn) & KG_HUGE), "the huge page is still one");
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

static int kg_bus_code;
static bool kg_using;
static sigjmp_buf kg_used;

static void kg_take_bus_error(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	kg_bus_code = info->si_code;
	if (kg_using)
		siglongjmp(kg_used, 1);
}

/* Load from PAGE, which may end in a bus error. */
static void kg_use(const char *page)
{
	kg_using = true;
	if (!sigsetjmp(kg_used, 1))
		__atomic_load_n(page, __ATOMIC_SEQ_CST);
	kg_using = false;
}

static void huge_page_in_use_is_poisoned(void)
{
	struct sigaction action = { .sa_sigaction = kg_take_bus_error, .sa_flags = SA_SIGINFO };
	unsigned long pfn;
	char *map;

	kg_need_memory_failure();
	kg_set_pool(1);
	map = kg_map_huge(1);
	pfn = kg_pfn_of(map);
	sigaction(SIGBUS, &action, NULL);
	kg_note("hard offline of pfn %lx", pfn);
	kg_require(!madvise(map, KG_HUGE_SIZE, MADV_HWPOISON), "MADV_HWPOISON: %s",
		   strerror(errno));
	if (!kg_poisoner_is_told())
		kg_use(map);
	kg_expect(kg_bus_code == BUS_MCEERR_AR, "its user was told code %d, not %d", kg_bus_code,
		  BUS_MCEERR_AR);
	kg_expect_poisoned(pfn);
	kg_unmap_huge(map, 1);
	kg_unpoison(pfn);
}

/* A free page that is not the first of its block. */
static unsigned long kg_free_pfn(void)
{
	unsigned long first, last, pfn;
	char text[64];

	/* The init memory only tells where there is memory at all. */
	kg_require(kg_try_read(KG_PROBE "init", text, sizeof(text)), "init: %s", strerror(errno));
	kg_require(sscanf(text, "%lu %lu", &first, &last) == 2, "init: %s", text);
	kg_drain();
	pfn = (last | (KG_HUGE_PAGES - 1)) + 1;
	for (; !(kg_flags(pfn) & KG_NOPAGE); pfn += KG_HUGE_PAGES) {
		if ((kg_flags(pfn) & KG_BUDDY) && (kg_flags(pfn + 5) & KG_BUDDY))
			return pfn + 5;
	}
	kg_require(false, "no free page found from %lx to %lx", last, pfn);
	return 0;
}

static void free_page_is_hard_offlined(void)
{
	unsigned long pfn;

	kg_need_memory_failure();
	pfn = kg_free_pfn();
	kg_note("hard offline of the free pfn %lx", pfn);
	kg_take_offline(KG_HARD_OFFLINE, pfn);
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

static void free_huge_page_is_hard_offlined(void)
{
	unsigned long pfn;
	char *map;

	kg_need_memory_failure();
	kg_set_pool(1);
	map = kg_map_huge(1);
	pfn = kg_pfn_of(map);
	kg_unmap_huge(map, 1);
	kg_require(kg_read(KG_POOL "free_hugepages") == 1, "the huge page is not free");
	kg_note("hard offline of the free huge page at pfn %lx", pfn);
	kg_take_offline(KG_HARD_OFFLINE, pfn);
	kg_expect(!(kg_flags(pfn) & KG_HUGE), "the huge page is still one");
	kg_expect_poisoned(pfn);
	kg_unpoison(pfn);
}

const struct kg_case kg_cases[] = {
	KG_CASE("MF-01", anonymous_page_is_soft_offlined),
	KG_CASE("MF-02", page_cache_page_is_soft_offlined),
	KG_CASE("MF-03", huge_page_is_soft_offlined),
	KG_CASE("MF-04", huge_page_in_use_is_poisoned),
	KG_CASE("MF-05", free_page_is_hard_offlined),
	KG_CASE("MF-06", free_huge_page_is_hard_offlined),
	{}
};
