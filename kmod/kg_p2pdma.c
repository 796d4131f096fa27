// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a PCI device that another device may use, or a process map.
 *
 * The device is QEMU's ivshmem, which is memory and nothing else: its driver is ours, and
 * offers all of it by pci_p2pdma_add_resource(). A process has pages of it by mapping the
 * file p2pmem/allocate of the device (p2pmem_alloc_mmap() in drivers/pci/p2pdma.c).
 *
 * Pages that nobody has are frozen since 6.15; before, they kept one reference
 * (free_zone_device_folio() in mm/memremap.c, 6.12).
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"
#include "symbols.h"

#define KG_VENDOR	0x1af4
#define KG_IVSHMEM	0x1110
/* The memory; the registers are region 0 (docs/specs/ivshmem-spec.rst of QEMU). */
#define KG_REGION	2
#define KG_MAPPED	8

static struct pci_dev *kg_device;

static int kg_probe_device(struct pci_dev *device, const struct pci_device_id *id)
{
	int error = pcim_enable_device(device);

	if (!error)
		error = pci_p2pdma_add_resource(device, KG_REGION, 0, 0);
	if (error)
		return error;
	pci_p2pmem_publish(device, true);
	kg_device = device;
	return 0;
}

static const struct pci_device_id kg_ids[] = {
	{ PCI_DEVICE(KG_VENDOR, KG_IVSHMEM) },
	{}
};

static struct pci_driver kg_driver = {
	.name = "kg_p2pdma",
	.id_table = kg_ids,
	.probe = kg_probe_device,
};

static int kg_offer(struct kunit_suite *suite)
{
	return pci_register_driver(&kg_driver);
}

static void kg_withdraw(struct kunit_suite *suite)
{
	pci_unregister_driver(&kg_driver);
	kg_device = NULL;
}

static void kg_need_device(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_PCI_P2PDMA))
		kunit_skip(test, "needs CONFIG_PCI_P2PDMA: run with --config devices");
	if (!kg_device)
		kunit_skip(test, "no device offers memory: run with --machine p2pdma");
}

static unsigned long kg_pages(void)
{
	return pci_resource_len(kg_device, KG_REGION) >> PAGE_SHIFT;
}

static struct page *kg_page(unsigned long i)
{
	return pfn_to_page(PHYS_PFN(pci_resource_start(kg_device, KG_REGION)) + i);
}

static bool kg_is_idle(struct page *page)
{
	return kg_idle_dax_is_frozen() ? kg_is_frozen(kg_raw(page)) : kg_raw(page) == 1;
}

/* All pages of the device are idle but @busy of them. */
static void kg_expect_busy(struct kunit *test, unsigned long busy, const char *when)
{
	unsigned long i, found = 0;

	for (i = 0; i < kg_pages(); i++)
		found += !kg_is_idle(kg_page(i));
	KUNIT_EXPECT_EQ_MSG(test, found, busy, "%s: of %lu pages", when, kg_pages());
}

/* The allocator of the device has all of it, in one piece. */
static void kg_expect_whole(struct kunit *test)
{
	size_t size = pci_resource_len(kg_device, KG_REGION);
	void *all = pci_alloc_p2pmem(kg_device, size);

	KUNIT_EXPECT_NOT_NULL(test, all);
	kg_expect_busy(test, 0, "for another device");
	if (all)
		pci_free_p2pmem(kg_device, all, size);
}

/* The first page that somebody has, which a mapping has first. */
static struct page *kg_first_busy(struct kunit *test)
{
	unsigned long i = 0;

	while (i < kg_pages() && kg_is_idle(kg_page(i)))
		i++;
	KUNIT_ASSERT_LT(test, i, kg_pages());
	return kg_page(i);
}

/* The address at which KG_MAPPED pages of the device are mapped, or an error. */
static unsigned long kg_map(struct kunit *test)
{
	char path[64];
	unsigned long address;
	struct file *file;

	if (!kg_has_user_mappings())
		kunit_skip(test, "no user memory for KUnit before 6.11: run with --base 7.2");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate",
		 pci_name(kg_device));
	file = filp_open(path, O_RDWR, 0);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(file), "%s: %ld", path, PTR_ERR(file));
	address = kg_user_mapping(test, file, KG_MAPPED * PAGE_SIZE, MAP_SHARED);
	fput(file);
	return address;
}

static void memory_that_nobody_has_mapped_is_idle(struct kunit *test)
{
	kg_need_device(test);
	kg_expect_busy(test, 0, "new");
	if (kg_idle_dax_is_frozen()) {
		KUNIT_EXPECT_FALSE(test, get_page_unless_zero(kg_page(3)));
		KUNIT_EXPECT_EQ(test, page_count(kg_page(3)), 0);
	}
	kg_expect_whole(test);
	kg_expect_invariant(test);
}

static void mapped_page_has_one_reference(struct kunit *test)
{
	unsigned long address;
	struct page *page;
	u8 byte = 0;

	kg_need_device(test);
	address = kg_map(test);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(address));
	page = kg_first_busy(test);
	kg_expect_busy(test, KG_MAPPED, "mapped");
	KUNIT_EXPECT_EQ(test, page_count(page), kg_idle_dax_is_frozen() ? 1 : 2);
	KUNIT_EXPECT_EQ(test, put_user(42, (u8 __user *)address), 0);
	KUNIT_EXPECT_EQ(test, get_user(byte, (u8 __user *)address), 0);
	KUNIT_EXPECT_EQ(test, byte, 42);
	KUNIT_EXPECT_EQ(test, vm_munmap(address, KG_MAPPED * PAGE_SIZE), 0);
	kg_expect_busy(test, 0, "unmapped");
	kg_expect_whole(test);
	kg_expect_invariant(test);
}

/* Who asks for such a page says that he can use one; it is his until he gives it back. */
static void pinned_page_outlives_its_mapping(struct kunit *test)
{
	unsigned long address;
	struct page *page = NULL;

	kg_need_device(test);
	address = kg_map(test);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(address));
	KUNIT_EXPECT_LT(test, pin_user_pages_fast(address, 1, FOLL_WRITE, &page), 0);
	kg_expect_busy(test, KG_MAPPED, "not pinned");
	KUNIT_ASSERT_EQ(test, pin_user_pages_fast(address, 1, FOLL_WRITE | KG_FOLL_PCI_P2PDMA,
						  &page), 1);
	KUNIT_EXPECT_EQ(test, vm_munmap(address, KG_MAPPED * PAGE_SIZE), 0);
	kg_expect_busy(test, 1, "pinned");
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(page)));
	unpin_user_page(page);
	kg_expect_busy(test, 0, "unpinned");
	kg_expect_whole(test);
	kg_expect_invariant(test);
}

/*
 * A mapping that fails half-way: the function that maps a page returns an error, the
 * KG_MAPPED / 2nd time that it is called.
 */
static int kg_calls;

static int kg_fail(struct kprobe *probe, struct pt_regs *regs)
{
	if (++kg_calls != KG_MAPPED / 2)
		return 0;
	regs_set_return_value(regs, -ENOMEM);
	kg_return(regs);
	return 1;
}

/* A probe that has one is not made a jump, from which no handler could return elsewhere. */
static void kg_after(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static void failed_mapping_leaves_all_memory_idle(struct kunit *test)
{
	struct kprobe probe = {
		.symbol_name = "vm_insert_page",
		.pre_handler = kg_fail,
		.post_handler = kg_after,
	};
	unsigned long address;

	kg_need_device(test);
	kg_calls = 0;
	KUNIT_ASSERT_EQ(test, register_kprobe(&probe), 0);
	address = kg_map(test);
	unregister_kprobe(&probe);
	KUNIT_EXPECT_EQ(test, (long)address, -ENOMEM);
	KUNIT_EXPECT_EQ(test, kg_calls, KG_MAPPED / 2);
	kg_expect_busy(test, 0, "not mapped");
	kg_expect_whole(test);
	kg_expect_invariant(test);
}

static struct kunit_case kg_p2pdma_cases[] = {
	KG_CASE("ZD-10", memory_that_nobody_has_mapped_is_idle),
	KG_CASE("ZD-10", mapped_page_has_one_reference),
	KG_CASE("ZD-10", pinned_page_outlives_its_mapping),
	KG_CASE("ZD-10", failed_mapping_leaves_all_memory_idle),
	{}
};

static struct kunit_suite kg_p2pdma_suite = {
	.name = "p2pdma",
	.suite_init = kg_offer,
	.suite_exit = kg_withdraw,
	.test_cases = kg_p2pdma_cases,
};

kunit_test_suite(kg_p2pdma_suite);

MODULE_DESCRIPTION("KUnit: memory of a PCI device that others use");
MODULE_LICENSE("GPL");
