// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a crash dump tells its reader of the reference count.
 *
 * The reader (makedumpfile, crash) finds the counter of a page by the offset in
 * the note that /sys/kernel/vmcoreinfo points to, in physical memory.
 */
#include <kunit/test.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

#include "readfile.h"
#include "kg.h"

/* Where the counter has always been, with 64 bits: behind six words and _mapcount. */
#define KG_REFCOUNT_OFFSET	52

/* The note in memory, and how long it is. */
static const char *kg_find_note(struct kunit *test, unsigned int *size)
{
	struct file *file = filp_open("/sys/kernel/vmcoreinfo", O_RDONLY, 0);
	unsigned long long address;
	char text[64];
	int found;

	if (IS_ERR(file))
		kunit_skip(test, "no /sys/kernel/vmcoreinfo: needs CONFIG_VMCORE_INFO");
	KUNIT_ASSERT_GT(test, kg_read_file(file, text, sizeof(text)), 0L);
	fput(file);
	found = sscanf(text, "0x%llx %x", &address, size);
	KUNIT_ASSERT_EQ(test, found, 2);
	return phys_to_virt(address);
}

static void dump_says_where_refcount_is(struct kunit *test)
{
	static const char key[] = "OFFSET(page._refcount)=";
	unsigned int size, offset;
	const char *note = kg_find_note(test, &size);
	const char *text = note;
	int found;

	/* The text follows the header and the name of the note, which hold zeros. */
	while (text && strncmp(text, key, strlen(key)))
		text = memchr(text + 1, key[0], size - (text + 1 - note));
	KUNIT_ASSERT_NOT_NULL(test, text);
	found = sscanf(text + strlen(key), "%u", &offset);
	KUNIT_ASSERT_EQ(test, found, 1);
	KUNIT_EXPECT_EQ(test, offset, KG_REFCOUNT_OFFSET);
	KUNIT_EXPECT_EQ(test, offsetof(struct page, _refcount), KG_REFCOUNT_OFFSET);
}

static struct kunit_case kg_vmcoreinfo_cases[] = {
	KG_CASE("REF-15", dump_says_where_refcount_is),
	{}
};

static struct kunit_suite kg_vmcoreinfo_suite = {
	.name = "vmcoreinfo",
	.test_cases = kg_vmcoreinfo_cases,
};

kunit_test_suite(kg_vmcoreinfo_suite);

MODULE_DESCRIPTION("KUnit: what a crash dump says of the reference count");
MODULE_LICENSE("GPL");
