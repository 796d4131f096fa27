// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace events page_ref:*, as a person reads them in the trace file.
 *
 * The events are recorded by the kernel's own code, which asks for the count of
 * the page after the change; a frozen page shows the count 0 in all of them.
 * Other pages are traced as well meanwhile, so the page is told by its number.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/trace_events.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "expect.h"
#include "readfile.h"
#include "kg.h"

/* Some 150 bytes an event; a quiet guest makes a few hundred meanwhile. */
#define KG_TRACE_SIZE		(4 << 20)
#define KG_MAX_EVENTS		16
/* An event that has no return value. */
#define KG_NO_RET		(-77)

struct kg_event {
	const char *name;
	int val;
	int count;
	int ret;
};

static struct file *kg_open_trace(struct vfsmount *tracefs, int flags)
{
	struct path root = { .mnt = tracefs, .dentry = tracefs->mnt_root };

	return file_open_root(&root, "trace", flags, 0);
}

static struct vfsmount *kg_mount_tracefs(void)
{
	struct file_system_type *type = get_fs_type("tracefs");
	struct vfsmount *mount;

	if (!type)
		return NULL;
	mount = kern_mount(type);
	module_put(type->owner);
	return IS_ERR(mount) ? NULL : mount;
}

/* To open it for truncation is what empties it. */
static void kg_empty_trace(struct kunit *test, struct vfsmount *tracefs)
{
	struct file *file = kg_open_trace(tracefs, O_WRONLY | O_TRUNC);

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	fput(file);
}

static void kg_read_trace(struct kunit *test, struct vfsmount *tracefs, char *text)
{
	struct file *file = kg_open_trace(tracefs, O_RDONLY);
	ssize_t size;

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	size = kg_read_file(file, text, KG_TRACE_SIZE);
	fput(file);
	KUNIT_ASSERT_GT(test, size, 0L);
	KUNIT_ASSERT_LT(test, size, KG_TRACE_SIZE - 1L);
}

static int kg_number_after(const char *line, const char *key, int absent)
{
	const char *found = strstr(line, key);
	int number;

	if (!found || sscanf(found + strlen(key), "%d", &number) != 1)
		return absent;
	return number;
}

/* Take @line apart, if it is an event of the page @pfn. */
static bool kg_parse_event(char *line, unsigned long pfn, struct kg_event *event)
{
	char *name = strstr(line, "page_ref_");
	char *colon = name ? strchr(name, ':') : NULL;
	unsigned long number;

	if (!colon || sscanf(colon, ": pfn=0x%lx ", &number) != 1 || number != pfn)
		return false;
	*colon++ = 0;
	event->name = name;
	event->val = kg_number_after(colon, " val=", 0);
	event->count = kg_number_after(colon, " count=", -1);
	event->ret = kg_number_after(colon, " ret=", KG_NO_RET);
	return true;
}

/* The events of the page @pfn in @text, which is taken apart. Returns how many. */
static int kg_parse_trace(char *text, unsigned long pfn, struct kg_event *events)
{
	int nr = 0;
	char *line;

	while (nr < KG_MAX_EVENTS && (line = strsep(&text, "\n")))
		nr += kg_parse_event(line, pfn, &events[nr]);
	return nr;
}

static void kg_compare(struct kunit *test, int step, const struct kg_event *event,
		       const struct kg_event *wanted)
{
	KUNIT_EXPECT_STREQ_MSG(test, event->name, wanted->name, "step %d", step);
	KUNIT_EXPECT_EQ_MSG(test, event->val, wanted->val, "step %d", step);
	KUNIT_EXPECT_EQ_MSG(test, event->count, wanted->count, "step %d", step);
	KUNIT_EXPECT_EQ_MSG(test, event->ret, wanted->ret, "step %d", step);
}

/* All on one CPU, whose events stand in the trace in the order they were made. */
static void kg_record(struct kunit *test, void (*calls)(struct page *page),
		      struct page *page)
{
	KUNIT_ASSERT_EQ(test, trace_set_clr_event("page_ref", NULL, 1), 0);
	get_cpu();
	calls(page);
	put_cpu();
	trace_set_clr_event("page_ref", NULL, 0);
}

/* Do @calls on a page of ours and expect exactly the @nr events @wanted. */
static void kg_expect_events(struct kunit *test, void (*calls)(struct page *page),
			     const struct kg_event *wanted, int nr)
{
	struct kg_event events[KG_MAX_EVENTS] = {};
	struct vfsmount *tracefs;
	struct page *page;
	char *text;
	int i, found;

	if (!IS_ENABLED(CONFIG_DEBUG_PAGE_REF))
		kunit_skip(test, "page_ref is not traced: needs CONFIG_DEBUG_PAGE_REF");
	tracefs = kg_mount_tracefs();
	KUNIT_ASSERT_NOT_NULL(test, tracefs);
	page = alloc_page(GFP_KERNEL);
	text = vzalloc(KG_TRACE_SIZE);
	KUNIT_ASSERT_TRUE(test, page && text);

	kg_empty_trace(test, tracefs);
	kg_record(test, calls, page);
	kg_read_trace(test, tracefs, text);
	found = kg_parse_trace(text, page_to_pfn(page), events);

	KUNIT_EXPECT_EQ(test, found, nr);
	for (i = 0; i < min(found, nr); i++)
		kg_compare(test, i, &events[i], &wanted[i]);
	vfree(text);
	kern_unmount(tracefs);
	kg_release(page, 0);
}

static void kg_call_counting(struct page *page)
{
	page_ref_inc(page);
	page_ref_add(page, 40);
	page_ref_sub(page, 2);
	page_ref_dec(page);
	page_ref_inc_return(page);
	page_ref_dec_return(page);
	folio_ref_sub_return(page_folio(page), 38);
}

static void counting_is_traced(struct kunit *test)
{
	static const struct kg_event wanted[] = {
		{ "page_ref_mod", 1, 2, KG_NO_RET },
		{ "page_ref_mod", 40, 42, KG_NO_RET },
		{ "page_ref_mod", -2, 40, KG_NO_RET },
		{ "page_ref_mod", -1, 39, KG_NO_RET },
		{ "page_ref_mod_and_return", 1, 40, 40 },
		{ "page_ref_mod_and_return", -1, 39, 39 },
		{ "page_ref_mod_and_return", -38, 1, 1 },
	};

	kg_expect_events(test, kg_call_counting, wanted, ARRAY_SIZE(wanted));
}

static void kg_call_getting(struct page *page)
{
	if (!get_page_unless_zero(page) || !kg_try_add(page, 512))
		return;
	page_ref_sub_and_test(page, 512);
	put_page_testzero(page);
	put_page_testzero(page);
	init_page_count(page);
	page_ref_add(page, 6);
	page_ref_sub_and_test(page, 7);
}

static void gets_and_last_puts_are_traced(struct kunit *test)
{
	static const struct kg_event wanted[] = {
		{ "page_ref_mod_unless", 1, 2, 1 },
		{ "page_ref_mod_unless", 512, 514, 1 },
		{ "page_ref_mod_and_test", -512, 2, 0 },
		{ "page_ref_mod_and_test", -1, 1, 0 },
		/* The last one: the page is frozen. */
		{ "page_ref_mod_and_test", -1, 0, 1 },
		{ "page_ref_set", 1, 1, KG_NO_RET },
		{ "page_ref_mod", 6, 7, KG_NO_RET },
		{ "page_ref_mod_and_test", -7, 0, 1 },
	};

	kg_expect_events(test, kg_call_getting, wanted, ARRAY_SIZE(wanted));
}

static void kg_call_freezing(struct page *page)
{
	page_ref_freeze(page, 2);
	page_ref_freeze(page, 1);
	page_ref_freeze(page, 1);
	page_ref_unfreeze(page, 3);
	page_ref_freeze(page, 3);
}

static void freezing_is_traced_with_count_0(struct kunit *test)
{
	static const struct kg_event wanted[] = {
		{ "page_ref_freeze", 2, 1, 0 },
		{ "page_ref_freeze", 1, 0, 1 },
		{ "page_ref_freeze", 1, 0, 0 },
		{ "page_ref_unfreeze", 3, 3, KG_NO_RET },
		{ "page_ref_freeze", 3, 0, 1 },
	};

	kg_expect_events(test, kg_call_freezing, wanted, ARRAY_SIZE(wanted));
}

static void kg_call_getting_frozen(struct page *page)
{
	page_ref_freeze(page, 1);
	if (get_page_unless_zero(page) || get_page_unless_zero(page) ||
	    kg_try_add(page, 512))
		return;
	page_ref_unfreeze(page, 1);
}

static void failed_gets_are_traced_with_count_0(struct kunit *test)
{
	static const struct kg_event wanted[] = {
		{ "page_ref_freeze", 1, 0, 1 },
		{ "page_ref_mod_unless", 1, 0, 0 },
		{ "page_ref_mod_unless", 1, 0, 0 },
		{ "page_ref_mod_unless", 512, 0, 0 },
		{ "page_ref_unfreeze", 1, 1, KG_NO_RET },
	};

	kg_expect_events(test, kg_call_getting_frozen, wanted, ARRAY_SIZE(wanted));
}

static void kg_call_setting_frozen(struct page *page)
{
	kg_set_frozen(page);
	init_page_count(page);
}

/* What is stored is traced as it is stored, and the count as everybody sees it. */
static void setting_is_traced_with_the_stored_value(struct kunit *test)
{
	const struct kg_event wanted[] = {
		{ "page_ref_set", (int)kg_expect.frozen, 0, KG_NO_RET },
		{ "page_ref_set", 1, 1, KG_NO_RET },
	};

	kg_expect_events(test, kg_call_setting_frozen, wanted, ARRAY_SIZE(wanted));
}

static struct kunit_case kg_trace_cases[] = {
	KG_CASE("REF-11", counting_is_traced),
	KG_CASE("REF-11", gets_and_last_puts_are_traced),
	KG_CASE("REF-11", freezing_is_traced_with_count_0),
	KG_CASE("REF-11", failed_gets_are_traced_with_count_0),
	KG_CASE("REF-11", setting_is_traced_with_the_stored_value),
	{}
};

static struct kunit_suite kg_trace_suite = {
	.name = "trace",
	.test_cases = kg_trace_cases,
};

kunit_test_suite(kg_trace_suite);

MODULE_DESCRIPTION("KUnit: the trace events of the reference count of a page");
MODULE_LICENSE("GPL");
