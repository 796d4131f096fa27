// SPDX-License-Identifier: GPL-2.0-only
/*
 * KHO-01: memory that one kernel hands over to the next comes back with the
 * counts of memory that was just allocated.
 *
 * Loaded with save=1 it fills pages and preserves them (kernel/liveupdate/
 * kexec_handover.c). The gate then starts the next kernel by kexec, and loads it
 * there again to run the cases; anywhere else they are skipped.
 */
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/module.h>

#include "compat.h"
#include "expect.h"
#include "kg.h"
#include "scan.h"

#define KG_PARCEL	"kernelgate"
#define KG_MAGIC	0x6b67686fU
#define KG_ORDERS	10
/* Neither a power of two nor one run of pages of one order. */
#define KG_PAGES	13

static bool save;
module_param(save, bool, 0400);
MODULE_PARM_DESC(save, "preserve pages for the next kernel");

/* What is handed over, by physical address. */
struct kg_parcel {
	u32 magic;
	u64 folios[KG_ORDERS];
	u64 pages;
};

static u64 kg_stamp(phys_addr_t phys)
{
	return phys ^ 0x6b65726e656c6761ULL;
}

static void kg_fill(phys_addr_t phys, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++, phys += PAGE_SIZE)
		memset64(phys_to_virt(phys), kg_stamp(phys), PAGE_SIZE / sizeof(u64));
}

/* How many of the pages do not have what kg_fill() wrote. */
static unsigned long kg_spoilt(phys_addr_t phys, unsigned long nr)
{
	unsigned long i, spoilt = 0;
	const u64 *words;

	for (i = 0; i < nr; i++, phys += PAGE_SIZE) {
		words = phys_to_virt(phys);
		spoilt += words[0] != kg_stamp(phys) ||
			  memcmp(words, words + 1, PAGE_SIZE - sizeof(u64));
	}
	return spoilt;
}

static int kg_save_folio(struct kg_parcel *parcel, unsigned int order)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, order);

	if (!folio)
		return -ENOMEM;
	parcel->folios[order] = PFN_PHYS(folio_pfn(folio));
	kg_fill(parcel->folios[order], 1UL << order);
	return kho_preserve_folio(folio);
}

static int kg_save_pages(struct kg_parcel *parcel)
{
	void *pages = alloc_pages_exact(KG_PAGES * PAGE_SIZE, GFP_KERNEL);

	if (!pages)
		return -ENOMEM;
	parcel->pages = virt_to_phys(pages);
	kg_fill(parcel->pages, KG_PAGES);
	return kho_preserve_pages(virt_to_page(pages), KG_PAGES);
}

static int kg_save(void)
{
	struct kg_parcel *parcel = kho_alloc_preserve(sizeof(*parcel));
	unsigned int order;
	int error;

	if (IS_ERR(parcel))
		return PTR_ERR(parcel);
	for (order = 0; order < KG_ORDERS; order++) {
		error = kg_save_folio(parcel, order);
		if (error)
			return error;
	}
	error = kg_save_pages(parcel);
	if (error)
		return error;
	parcel->magic = KG_MAGIC;
	return kho_add_subtree(KG_PARCEL, parcel, sizeof(*parcel));
}

/* What the last kernel has left for us; the case is skipped where there was none. */
static const struct kg_parcel *kg_received(struct kunit *test)
{
	const struct kg_parcel *parcel;
	phys_addr_t phys;
	size_t size;

	if (kho_retrieve_subtree(KG_PARCEL, &phys, &size))
		kunit_skip(test, "nothing was handed over: run on --machine kexec");
	parcel = phys_to_virt(phys);
	KUNIT_ASSERT_EQ(test, size, sizeof(*parcel));
	KUNIT_ASSERT_EQ(test, parcel->magic, KG_MAGIC);
	return parcel;
}

static void restored_folio_has_one_reference(struct kunit *test)
{
	const struct kg_parcel *parcel = kg_received(test);
	struct folio *folio;
	unsigned int order;
	unsigned long i;

	for (order = 0; order < KG_ORDERS; order++) {
		folio = kho_restore_folio(parcel->folios[order]);
		KUNIT_ASSERT_NOT_NULL(test, folio);
		KUNIT_EXPECT_EQ(test, folio_order(folio), order);
		KUNIT_EXPECT_EQ(test, kg_raw(&folio->page), 1U);
		for (i = 1; i < 1UL << order; i++)
			KUNIT_EXPECT_EQ(test, kg_raw(folio_page(folio, i)), kg_expect.frozen);
		KUNIT_EXPECT_EQ(test, kg_spoilt(parcel->folios[order], 1UL << order), 0UL);
		folio_put(folio);
	}
}

static void restored_pages_have_one_reference_each(struct kunit *test)
{
	const struct kg_parcel *parcel = kg_received(test);
	struct page *pages = kho_restore_pages(parcel->pages, KG_PAGES);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_EXPECT_EQ(test, kg_spoilt(parcel->pages, KG_PAGES), 0UL);
	for (i = 0; i < KG_PAGES; i++) {
		KUNIT_EXPECT_EQ(test, kg_raw(pages + i), 1U);
		KUNIT_EXPECT_FALSE(test, PageCompound(pages + i));
		__free_page(pages + i);
	}
}

static void all_memory_is_sound_after_handover(struct kunit *test)
{
	kg_received(test);
	kg_expect_invariant(test);
}

static struct kunit_case kg_kho_cases[] = {
	KG_CASE("KHO-01", restored_folio_has_one_reference),
	KG_CASE("KHO-01", restored_pages_have_one_reference_each),
	KG_CASE("KHO-01", all_memory_is_sound_after_handover),
	{}
};

static struct kunit_suite kg_kho_suite = {
	.name = "kho",
	.test_cases = kg_kho_cases,
};

kunit_test_suite(kg_kho_suite);

static int __init kg_kho_init(void)
{
	return save ? kg_save() : 0;
}

module_init(kg_kho_init);

MODULE_DESCRIPTION("KUnit: what a kernel leaves to the next one");
MODULE_LICENSE("GPL");
