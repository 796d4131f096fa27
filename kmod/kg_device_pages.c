// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a device, by the kind of device: what they count while nobody uses them,
 * what the last put makes of them, and who is told.
 *
 * The device is ours: an unused range of the physical address space, which gets struct
 * pages by memremap_pages(). Nothing is there, so nobody may look into such a page; what
 * it counts is all that is of interest.
 *
 *	kind		used by			idle before 6.15	since
 *	private		memory of a GPU		frozen			frozen
 *	coherent	the same, that CPUs	frozen			frozen
 *			can reach
 *	fsdax		file systems		1			frozen
 *	generic		device DAX		1			1
 *
 * After __init_zone_device_page() (mm/mm_init.c) and free_zone_device_folio()
 * (mm/memremap.c) of 6.12 and 7.2.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"

/* Where no machine here has memory, and both architectures could. */
#define KG_FROM		(16ULL << 30)
#define KG_TO		(64ULL << 30)
#define KG_SIZE		(4UL << 20)
#define KG_PAGES	(KG_SIZE >> PAGE_SHIFT)
/* How long somebody is watched who has to wait, and waited for who has not to. */
#define KG_A_WHILE	msecs_to_jiffies(200)
#define KG_LONG		(10 * HZ)

static struct kg_device {
	struct dev_pagemap pgmap;
	struct resource place;
	/* What the kernel has told us of. */
	struct page *freed;
	unsigned int times_freed;
} kg_device;

static void kg_is_freed(KG_FREED_STRUCT *freed)
{
	kg_device.freed = kg_freed_page(freed);
	kg_device.times_freed++;
}

static vm_fault_t kg_bring_back(struct vm_fault *fault)
{
	return VM_FAULT_SIGBUS;
}

static const struct dev_pagemap_ops kg_ops = {
	.KG_FREED = kg_is_freed,
	.migrate_to_ram = kg_bring_back,
};

static void kg_remove_device(void *unused)
{
	memunmap_pages(&kg_device.pgmap);
	release_resource(&kg_device.place);
}

/* A device of @type, with its memory map in huge pages where @shift says so. */
static void kg_add_pages(struct kunit *test, enum memory_type type, unsigned long shift)
{
	struct dev_pagemap *pgmap = &kg_device.pgmap;
	bool failed;

	if (type == MEMORY_DEVICE_PRIVATE && !IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		kunit_skip(test, "needs CONFIG_DEVICE_PRIVATE: run with --config devices");
	memset(&kg_device, 0, sizeof(kg_device));
	kg_device.place.name = "kg_device_pages";
	kg_device.place.flags = IORESOURCE_MEM;
	KUNIT_ASSERT_EQ(test, allocate_resource(&iomem_resource, &kg_device.place, KG_SIZE, KG_FROM,
						KG_TO, PMD_SIZE, NULL, NULL), 0);
	pgmap->type = type;
	pgmap->range.start = kg_device.place.start;
	pgmap->range.end = kg_device.place.end;
	pgmap->nr_range = 1;
	pgmap->ops = &kg_ops;
	pgmap->owner = &kg_device;
	pgmap->vmemmap_shift = shift;
	failed = IS_ERR(memremap_pages(pgmap, first_online_node));
	if (failed)
		release_resource(&kg_device.place);
	KUNIT_ASSERT_FALSE_MSG(test, failed, "no struct pages for %pR", &kg_device.place);
}

static struct page *kg_first(void)
{
	return pfn_to_page(PHYS_PFN(kg_device.pgmap.range.start));
}

/* Does the count of a page of @type tell that nobody uses it? */
static bool kg_is_idle(struct page *page, enum memory_type type)
{
	if (type == MEMORY_DEVICE_GENERIC ||
	    (type == MEMORY_DEVICE_FS_DAX && !kg_idle_dax_is_frozen()))
		return kg_raw(page) == 1;
	return kg_is_frozen(kg_raw(page));
}

static void kg_expect_idle_is_frozen(struct kunit *test, struct page *page)
{
	KUNIT_EXPECT_FALSE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, page_count(page), 0);
}

static void kg_expect_idle_is_one(struct kunit *test, struct page *page)
{
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	KUNIT_EXPECT_TRUE(test, get_page_unless_zero(page));
	KUNIT_EXPECT_EQ(test, page_count(page), 2);
	put_page(page);
}

static void kg_expect_all_idle(struct kunit *test, enum memory_type type)
{
	unsigned long i, busy = 0;

	for (i = 0; i < KG_PAGES; i++)
		busy += !kg_is_idle(kg_first() + i, type);
	KUNIT_EXPECT_EQ_MSG(test, busy, 0UL, "of %lu pages, the first with raw %08x",
			    KG_PAGES, kg_raw(kg_first()));
}

static void kg_expect_begins(struct kunit *test, enum memory_type type)
{
	kg_add_pages(test, type, 0);
	kg_expect_all_idle(test, type);
	if (type == MEMORY_DEVICE_GENERIC ||
	    (type == MEMORY_DEVICE_FS_DAX && !kg_idle_dax_is_frozen()))
		kg_expect_idle_is_one(test, kg_first() + 5);
	else
		kg_expect_idle_is_frozen(test, kg_first() + 5);
	KUNIT_EXPECT_TRUE(test, kg_is_idle(kg_first() + 5, type));
	kg_expect_invariant(test);
	kg_remove_device(NULL);
}

static void new_page_of_a_file_system_is_idle(struct kunit *test)
{
	kg_expect_begins(test, MEMORY_DEVICE_FS_DAX);
}

static void new_page_of_a_generic_device_is_idle(struct kunit *test)
{
	kg_expect_begins(test, MEMORY_DEVICE_GENERIC);
}

static void new_page_that_a_device_shares_is_idle(struct kunit *test)
{
	kg_expect_begins(test, MEMORY_DEVICE_COHERENT);
}

static void new_page_that_only_a_device_reaches_is_idle(struct kunit *test)
{
	kg_expect_begins(test, MEMORY_DEVICE_PRIVATE);
}

/* A driver hands a page out, and has it back when it is put for the last time: once. */
static void kg_hand_out(struct kunit *test, enum memory_type type)
{
	struct page *page;
	int round;

	kg_add_pages(test, type, 0);
	page = kg_first() + 7;
	for (round = 1; round <= 3; round++) {
		kg_device_page_init(page, &kg_device.pgmap);
		KUNIT_EXPECT_EQ(test, page_count(page), 1);
		unlock_page(page);
		get_page(page);
		put_page(page);
		KUNIT_EXPECT_EQ(test, kg_device.times_freed, round - 1);
		put_page(page);
		KUNIT_EXPECT_EQ(test, kg_device.times_freed, round);
		KUNIT_EXPECT_PTR_EQ(test, kg_device.freed, page);
		KUNIT_EXPECT_TRUE(test, kg_is_idle(page, type));
		kg_expect_idle_is_frozen(test, page);
	}
	kg_expect_all_idle(test, type);
	kg_expect_invariant(test);
	kg_remove_device(NULL);
}

static void page_that_only_a_device_reaches_is_free_at_zero(struct kunit *test)
{
	kg_hand_out(test, MEMORY_DEVICE_PRIVATE);
}

static void page_that_a_device_shares_is_free_at_zero(struct kunit *test)
{
	kg_hand_out(test, MEMORY_DEVICE_COHERENT);
}

/* The count is set to 1 again by the kernel: whoever maps the device adds to that. */
static void generic_page_is_one_again_after_its_last_put(struct kunit *test)
{
	struct page *page;

	kg_add_pages(test, MEMORY_DEVICE_GENERIC, 0);
	page = kg_first() + 9;
	get_page(page);
	KUNIT_EXPECT_EQ(test, page_count(page), 2);
	put_page(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	put_page(page);
	KUNIT_EXPECT_EQ(test, kg_raw(page), 1U);
	kg_expect_all_idle(test, MEMORY_DEVICE_GENERIC);
	kg_remove_device(NULL);
}

/*
 * Those who wait.
 */
struct kg_wait {
	struct work_struct work;
	struct page *page;
	struct completion done;
	bool woken;
};

static void kg_wait_until_idle(struct work_struct *work)
{
	struct kg_wait *wait = container_of(work, struct kg_wait, work);

	/* As dax_break_layout() does. Without being woken nobody looks again. */
	wait->woken = wait_var_event_timeout(kg_dax_waits_on(wait->page),
					     kg_is_idle(wait->page, MEMORY_DEVICE_FS_DAX), KG_LONG);
	complete(&wait->done);
}

static void kg_begin_to_wait(struct kg_wait *wait, work_func_t how)
{
	INIT_WORK_ONSTACK(&wait->work, how);
	init_completion(&wait->done);
	queue_work(system_unbound_wq, &wait->work);
}

static void kg_end_to_wait(struct kg_wait *wait)
{
	flush_work(&wait->work);
	destroy_work_on_stack(&wait->work);
}

/* Two references more than idle; only when both are gone is the page idle again. */
static void last_put_wakes_who_waits_for_an_idle_page(struct kunit *test)
{
	struct kg_wait wait = {};

	kg_add_pages(test, MEMORY_DEVICE_FS_DAX, 0);
	wait.page = kg_first() + 11;
	kg_set_raw(wait.page, kg_idle_dax_is_frozen() ? 2 : 3);
	kg_begin_to_wait(&wait, kg_wait_until_idle);

	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&wait.done, KG_A_WHILE), 0UL);
	put_page(wait.page);
	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&wait.done, KG_A_WHILE), 0UL);
	put_page(wait.page);
	/* Long before it would have given up. */
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&wait.done, KG_LONG / 2), 0UL);
	kg_end_to_wait(&wait);
	KUNIT_EXPECT_TRUE(test, wait.woken);
	kg_expect_all_idle(test, MEMORY_DEVICE_FS_DAX);
	kg_remove_device(NULL);
}

static void kg_unmap(struct work_struct *work)
{
	struct kg_wait *wait = container_of(work, struct kg_wait, work);

	memunmap_pages(&kg_device.pgmap);
	complete(&wait->done);
}

/* The struct pages must not go while one is in use. */
static void device_that_goes_waits_for_its_pages(struct kunit *test)
{
	struct kg_wait wait = {};

	kg_add_pages(test, MEMORY_DEVICE_COHERENT, 0);
	wait.page = kg_first() + 13;
	kg_device_page_init(wait.page, &kg_device.pgmap);
	unlock_page(wait.page);
	kg_begin_to_wait(&wait, kg_unmap);

	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&wait.done, KG_A_WHILE), 0UL);
	KUNIT_EXPECT_EQ(test, page_count(wait.page), 1);
	put_page(wait.page);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&wait.done, KG_LONG), 0UL);
	kg_end_to_wait(&wait);
	KUNIT_EXPECT_EQ(test, kg_device.times_freed, 1U);
	release_resource(&kg_device.place);
	kg_expect_invariant(test);
}

/* As device DAX with huge pages has it; where the tails of one share struct pages, too. */
static void tails_of_a_device_are_frozen(struct kunit *test)
{
	unsigned long i, wrong = 0, got = 0;

	kg_add_pages(test, MEMORY_DEVICE_GENERIC, PMD_SHIFT - PAGE_SHIFT);
	for (i = 0; i < KG_PAGES; i++) {
		struct page *page = kg_first() + i;

		if (i % (PMD_SIZE / PAGE_SIZE) == 0) {
			wrong += kg_raw(page) != 1 || PageTail(page);
			continue;
		}
		wrong += !PageTail(page) || !kg_is_frozen(kg_raw(page));
		got += get_page_unless_zero(page);
		wrong += !kg_is_frozen(kg_raw(page));
	}
	KUNIT_EXPECT_EQ(test, wrong, 0UL);
	KUNIT_EXPECT_EQ(test, got, 0UL);
	kg_expect_idle_is_one(test, kg_first());
	kg_expect_invariant(test);
	kg_remove_device(NULL);
}

static struct kunit_case kg_device_pages_cases[] = {
	KG_CASE("ZD-01", new_page_of_a_file_system_is_idle),
	KG_CASE("ZD-01", new_page_of_a_generic_device_is_idle),
	KG_CASE("ZD-01", new_page_that_a_device_shares_is_idle),
	KG_CASE("ZD-01", new_page_that_only_a_device_reaches_is_idle),
	KG_CASE("ZD-03", last_put_wakes_who_waits_for_an_idle_page),
	KG_CASE("ZD-07", generic_page_is_one_again_after_its_last_put),
	KG_CASE("ZD-08", page_that_only_a_device_reaches_is_free_at_zero),
	KG_CASE("ZD-09", page_that_a_device_shares_is_free_at_zero),
	KG_CASE("ZD-11", device_that_goes_waits_for_its_pages),
	KG_CASE("ZD-12", tails_of_a_device_are_frozen),
	{}
};

static struct kunit_suite kg_device_pages_suite = {
	.name = "device_pages",
	.test_cases = kg_device_pages_cases,
};

kunit_test_suite(kg_device_pages_suite);

MODULE_DESCRIPTION("KUnit: what pages of a device count, by the kind of device");
MODULE_LICENSE("GPL");
