// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are charged to a group, and given up again where the group has no room: they
 * have been allocated by then.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "kg_take.h"

#define KG_GROUPS	"/tmp/kg_groups"
#define KG_GROUP	KG_GROUPS "/kg"
/* 4 MiB, and a limit that such a block is always beyond while the program lives well below. */
#define KG_ORDER	10
#define KG_LIMIT	"2M"
#define KG_BLOCK_KB	((KG_PAGE << KG_ORDER) >> 10)
/* Were none given back, more than the machine has. */
#define KG_TRIES	200
/* What others take and give meanwhile, in kB. */
#define KG_NOISE	(8 * KG_BLOCK_KB)

static void kg_write_group(const char *path, const char *text)
{
	int error = kg_try_write_text(path, text);

	kg_require(!error, "%s > %s: %s", text, path, strerror(error));
}

/* Move this program into a group of its own. */
static void kg_enter_group(void)
{
	char pid[32];

	kg_require(!mkdir(KG_GROUPS, 0755), KG_GROUPS ": %s", strerror(errno));
	kg_require(!mount("none", KG_GROUPS, "cgroup2", 0, NULL), "cgroup2: %s", strerror(errno));
	kg_write_group(KG_GROUPS "/cgroup.subtree_control", "+memory");
	kg_require(!mkdir(KG_GROUP, 0755), KG_GROUP ": %s", strerror(errno));
	snprintf(pid, sizeof(pid), "%d", getpid());
	kg_write_group(KG_GROUP "/cgroup.procs", pid);
}

/* How often the group was at its limit. */
static long kg_refusals(void)
{
	return kg_field(KG_GROUP "/memory.events", "max");
}

static void kg_expect_refusals(enum kg_how how)
{
	long refusals = kg_refusals(), free;
	int i, error, got = 0;

	kg_write_group(KG_GROUP "/memory.max", KG_LIMIT);
	kg_drain();
	free = kg_field("/proc/meminfo", "MemFree");
	for (i = 0; i < KG_TRIES; i++) {
		error = kg_try_take(how, "account", KG_ORDER, 1);
		kg_require(!error || error == ENOMEM, "block %d: %s", i, strerror(error));
		got += !error;
	}
	kg_expect(!got, "%d of %d blocks were given beyond the limit", got, KG_TRIES);
	refusals = kg_refusals() - refusals;
	kg_expect(refusals >= KG_TRIES, "the group was at its limit %ld times in %d tries",
		  refusals, KG_TRIES);
	kg_drain();
	free -= kg_field("/proc/meminfo", "MemFree");
	kg_expect(free < (long)KG_NOISE, "%ld kB are gone after %d refusals of %lu kB", free,
		  KG_TRIES, KG_BLOCK_KB);
	kg_write_group(KG_GROUP "/memory.max", "max");
}

/* The very same is given, and charged, where there is room. */
static void kg_expect_charge(enum kg_how how)
{
	static struct kg_taken taken[KG_MOST_TAKEN];
	unsigned long before = kg_read(KG_GROUP "/memory.current"), charged;

	kg_take(taken, how, "account", KG_ORDER, 1);
	charged = kg_read(KG_GROUP "/memory.current") - before;
	kg_expect(charged >= KG_PAGE << KG_ORDER, "%lu bytes were charged for it", charged);
	kg_give();
}

static void kg_check_charge(enum kg_how how)
{
	kg_need_frozen_policy(how);
	kg_enter_group();
	kg_expect_charge(how);
	kg_expect_refusals(how);
	kg_expect_charge(how);
}

static void page_that_cannot_be_charged_is_given_up(void)
{
	kg_check_charge(KG_COUNTED);
}

static void frozen_page_that_cannot_be_charged_is_given_up(void)
{
	kg_check_charge(KG_FROZEN_PAGES);
}

const struct kg_case kg_cases[] = {
	KG_CASE("FP-06", page_that_cannot_be_charged_is_given_up),
	KG_CASE("FP-06", frozen_page_that_cannot_be_charged_is_given_up),
	{}
};
