// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that go to a device and come back, by the kernel's own device for that
 * (lib/test_hmm.c): its memory is in no address space, so that the process that uses the
 * page has it back, and the device's page is free.
 */
#include "kg_tap.h"

#include <linux/ioctl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define DEVICE		"/dev/hmm_dmirror0"
#define PAGES		16

/* lib/test_hmm_uapi.h */
struct hmm_dmirror_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define HMM_DMIRROR_READ		_IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_SYS	_IOWR('H', 0x03, struct hmm_dmirror_cmd)

static int device;
static char copy[PAGES * 4096];

static char *some_pages(void)
{
	char *map = mmap(NULL, sizeof(copy), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		kg_skip("no device to test this with (TEST_HMM): run with --config devices");
	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	for (i = 0; i < PAGES; i++)
		map[i * KG_PAGE] = 'a' + i;
	return map;
}

/* Have the device do WHAT with all pages of MAP. */
static void ask(unsigned long what, char *map)
{
	struct hmm_dmirror_cmd command = {
		.addr = (uintptr_t)map,
		.ptr = (uintptr_t)copy,
		.npages = PAGES,
	};

	kg_require(!ioctl(device, what, &command), DEVICE ": %s", strerror(errno));
	kg_require(command.cpages == PAGES, "%llu of %d pages", command.cpages, PAGES);
}

/* Such a page is noted as one in a swap file is: pagemap_pte(), fs/proc/task_mmu.c. */
static unsigned long on_device(char *page)
{
	unsigned long long word = kg_word("/proc/self/pagemap", (uintptr_t)page / KG_PAGE);

	kg_require(!(word >> 63) && (word >> 62 & 1), "page %p is no device's: %llx", page, word);
	return word >> 5 & (KG_BIT(50) - 1);
}

static void expect_idle(unsigned long pfn, const char *when)
{
	kg_expect(kg_frozen(pfn), "%s: page %lx of the device has raw %08x", when, pfn,
		  kg_raw(pfn));
	kg_expect(!kg_try_get(pfn), "%s: page %lx of the device could be had", when, pfn);
}

static void page_on_a_device_has_one_reference(void)
{
	char *map = some_pages();
	unsigned long pfn[PAGES];
	int i;

	ask(HMM_DMIRROR_MIGRATE_TO_DEV, map);
	for (i = 0; i < PAGES; i++) {
		pfn[i] = on_device(map + i * KG_PAGE);
		kg_expect(kg_raw(pfn[i]) == 1, "page %lx of the device has raw %08x", pfn[i],
			  kg_raw(pfn[i]));
	}
	for (i = 0; i < PAGES; i++) {
		kg_expect(map[i * KG_PAGE] == 'a' + i, "page %d came back with '%c'", i,
			  map[i * KG_PAGE]);
		expect_idle(pfn[i], "back in memory");
	}
	kg_write("/proc/sys/vm/drop_caches", 1); /* its CPU holds a new page as well */
	for (i = 0; i < PAGES; i++)
		kg_expect(kg_count(kg_pfn_of(map + i * KG_PAGE)) == 1, "page %d counts %ld", i,
			  kg_count(kg_pfn_of(map + i * KG_PAGE)));
}

static void page_that_the_device_sends_back_is_idle_there(void)
{
	char *map = some_pages();
	unsigned long pfn;

	ask(HMM_DMIRROR_MIGRATE_TO_DEV, map);
	pfn = on_device(map);
	ask(HMM_DMIRROR_READ, map);
	kg_expect(copy[3 * KG_PAGE] == 'd', "the device reads '%c'", copy[3 * KG_PAGE]);
	kg_expect(on_device(map) == pfn, "to read it has brought it back");
	ask(HMM_DMIRROR_MIGRATE_TO_SYS, map);
	expect_idle(pfn, "sent back");
	kg_expect(map[3 * KG_PAGE] == 'd', "page 3 came back with '%c'", map[3 * KG_PAGE]);
}

static void unmapped_page_is_idle_on_its_device(void)
{
	char *map = some_pages();
	unsigned long pfn;

	ask(HMM_DMIRROR_MIGRATE_TO_DEV, map);
	pfn = on_device(map + 5 * KG_PAGE);
	munmap(map, sizeof(copy));
	expect_idle(pfn, "unmapped");
}

/* Both have it, until one uses it. */
static void forked_page_has_two_references(void)
{
	char *map = some_pages(), go;
	int ends[2], status;
	unsigned long pfn;
	pid_t child;

	ask(HMM_DMIRROR_MIGRATE_TO_DEV, map);
	pfn = on_device(map);
	kg_require(!pipe(ends), "pipe: %s", strerror(errno));
	child = fork();
	if (!child) {
		close(ends[1]);
		_exit(read(ends[0], &go, 1) ? 1 : 0);
	}
	kg_expect(kg_raw(pfn) == 2, "after fork: page %lx has raw %08x", pfn, kg_raw(pfn));
	close(ends[1]);
	kg_require(waitpid(child, &status, 0) == child && !status, "child: %x", status);
	kg_expect(kg_raw(pfn) == 1, "after exit: page %lx has raw %08x", pfn, kg_raw(pfn));
	kg_expect(*map == 'a', "page 0 came back with '%c'", *map);
	expect_idle(pfn, "back in memory");
}

const struct kg_case kg_cases[] = {
	KG_CASE("ZD-08", page_on_a_device_has_one_reference),
	KG_CASE("ZD-08", page_that_the_device_sends_back_is_idle_there),
	KG_CASE("ZD-08", unmapped_page_is_idle_on_its_device),
	KG_CASE("ZD-08", forked_page_has_two_references),
	{}
};
