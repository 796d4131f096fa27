// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block of memory that came after boot is put online, used, put offline, and
 * taken away. It is that of a module which was plugged in, or the first of a
 * virtio-mem device, which is plugged as a whole.
 */
#include "kg_blocks.h"

#define DEVICES		"/sys/bus/acpi/devices/"
#define MODULE		"PNP0C80:" /* Memory Device: ACPI 6.5, table 5.186 */

static void block_that_comes_online_is_frozen(void)
{
	unsigned long block = kg_offline_block();
	long before = kg_field(KG_PROBE "scan", "pages");
	unsigned long pfn = kg_block_pfn(block), free = 0, i;

	kg_put_block(block, "online_movable", "online");
	for (i = 0; i < kg_block_pages(); i += 64) {
		if (!(kg_flags(pfn + i) & KG_BUDDY))
			continue;
		free++;
		kg_expect(kg_frozen(pfn + i), "free page %lx: raw %08x", pfn + i, kg_raw(pfn + i));
	}
	kg_expect(free, "none of its pages is free, so that nothing was looked at");
	kg_expect(kg_field(KG_PROBE "scan", "pages") - before >= (long)kg_block_pages(),
		  "the scan did not see the block: %ld pages before, %ld after", before,
		  kg_field(KG_PROBE "scan", "pages"));
}

static void used_block_goes_offline(void)
{
	unsigned long block = kg_movable_block();
	char *page = kg_page_in_block(block);

	kg_expect(kg_count(kg_pfn_of(page)) == 1, "a page of ours has raw %08x",
		  kg_raw(kg_pfn_of(page)));
	kg_put_block(block, "offline", "offline");
	kg_expect(!kg_in_block(kg_pfn_of(page), block), "our page is still in the block");
	kg_expect(*page == 'x', "our page has lost its content");
	kg_expect(kg_count(kg_pfn_of(page)) == 1, "the moved page has raw %08x",
		  kg_raw(kg_pfn_of(page)));
	kg_expect_invariant();
	kg_put_block(block, "online_movable", "online");
	kg_put_block(block, "offline", "offline");
}

static void offlining_that_is_given_up_changes_nothing(void)
{
	unsigned long block = kg_movable_block();
	char *page = kg_page_in_block(block);

	kg_give_up_offlining(block);
	kg_expect(*page == 'x', "our page has lost its content");
	kg_expect(kg_count(kg_pfn_of(page)) == 1, "our page has raw %08x", kg_raw(kg_pfn_of(page)));
	kg_expect_invariant();
	kg_put_block(block, "offline", "offline");
	kg_expect(*page == 'x', "the moved page has lost its content");
}

/* Eject the first memory device that lets itself be ejected. */
static void take_module_away(void)
{
	DIR *devices = opendir(DEVICES);
	struct dirent *entry;
	char path[512];
	int error = ENODEV;

	if (!devices)
		kg_skip("no ACPI, which takes modules away: run on x86_64 --machine hotplug");
	while (error && (entry = readdir(devices))) {
		if (strncmp(entry->d_name, MODULE, strlen(MODULE)))
			continue;
		snprintf(path, sizeof(path), DEVICES "%s/eject", entry->d_name);
		error = kg_try_write(path, 1);
	}
	closedir(devices);
	kg_require(!error, "no module can be ejected: %s", strerror(error));
}

static void ejected_block_is_gone(void)
{
	unsigned long block = kg_movable_block();

	*kg_page_in_block(block) = 'y';
	kg_put_block(block, "offline", "offline");
	take_module_away();
	kg_await_blocks(0, 0);
}

const struct kg_case kg_cases[] = {
	KG_CASE("HP-01", block_that_comes_online_is_frozen),
	KG_CASE("HP-01", used_block_goes_offline),
	KG_CASE("HP-01", offlining_that_is_given_up_changes_nothing),
	KG_CASE("HP-01", ejected_block_is_gone),
	{}
};
