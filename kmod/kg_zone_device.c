// SPDX-License-Identifier: GPL-2.0-only
/*
 * The invariant of struct page where memory is a device: what no file has mapped
 * is frozen.
 *
 * These pages are never in the page allocator. Their count is set when the device
 * is found, and again by whoever maps a file of it last.
 */
#include <kunit/test.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"

/* Of the machine's persistent memory, 128 MiB, the kernel may keep a little for itself. */
#define KG_DEVICE_PAGES		((120UL << 20) >> PAGE_SHIFT)

static const struct zone *kg_device_zone(void)
{
	return &NODE_DATA(first_online_node)->node_zones[ZONE_DEVICE];
}

static void kg_need_idle_device_pages(struct kunit *test)
{
	if (!kg_idle_dax_is_frozen())
		kunit_skip(test, "idle device pages are owned before 6.15: run with --base 7.2");
	if (!kg_device_zone()->spanned_pages)
		kunit_skip(test, "no persistent pages: run on --arch x86_64 --machine nvdimm");
}

static struct page *kg_idle_device_page(struct kunit *test)
{
	const struct zone *zone = kg_device_zone();
	unsigned long pfn = zone->zone_start_pfn + zone->spanned_pages / 2;
	struct dev_pagemap *pgmap = kg_get_dev_pagemap(pfn);

	KUNIT_ASSERT_NOT_NULL(test, pgmap);
	put_dev_pagemap(pgmap);
	return pfn_to_page(pfn);
}

static void idle_device_pages_are_frozen(struct kunit *test)
{
	struct kg_scan scan;

	kg_need_idle_device_pages(test);
	scan = kg_scan();

	KUNIT_EXPECT_GE(test, scan.device_pages, KG_DEVICE_PAGES);
	kg_expect_invariant(test);
}

static void scan_finds_a_planted_device_page(struct kunit *test)
{
	kg_need_idle_device_pages(test);
	kg_expect_planted_is_found(test, kg_idle_device_page(test), "idle device page");
}

/* A lockless lookup that comes too late, as get_user_pages_fast() may. */
static void get_of_an_idle_device_page_fails(struct kunit *test)
{
	struct page *page;

	kg_need_idle_device_pages(test);
	page = kg_idle_device_page(test);

	KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, page_count(page), 0);
	kg_expect_invariant(test);
}

static struct kunit_case kg_zone_device_cases[] = {
	KG_CASE("INV-01", idle_device_pages_are_frozen),
	KG_CASE("INV-01", scan_finds_a_planted_device_page),
	KG_CASE("INV-02", get_of_an_idle_device_page_fails),
	{}
};

static struct kunit_suite kg_zone_device_suite = {
	.name = "zone_device",
	.test_cases = kg_zone_device_cases,
};

kunit_test_suite(kg_zone_device_suite);

MODULE_DESCRIPTION("KUnit: memory of devices that nobody uses is frozen");
MODULE_LICENSE("GPL");
