/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that the kernel takes on behalf of this program (kmod/probe_take.h).
 */
#ifndef KG_TAKE_H
#define KG_TAKE_H

#include "kg_base.h"

#define KG_MOST_TAKEN	256

enum kg_how { KG_COUNTED, KG_FROZEN_PAGES };

struct kg_taken {
	unsigned long pfn;
	int node;
	unsigned int raw;
	int frozen;
};

/* To begin a case with that takes frozen pages. */
static inline void kg_need_frozen_policy(enum kg_how how)
{
	if (how == KG_FROZEN_PAGES && !kg_base("frozen_policy"))
		kg_skip("no frozen allocation by policy in this kernel: run with --base 7.2");
}

/* Returns 0 or the error. */
static inline int kg_try_take(enum kg_how how, const char *gfp, unsigned int order,
			      unsigned int number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %s %u %u", how == KG_FROZEN_PAGES ? "frozen" : "pages",
		 gfp, order, number);
	return kg_try_write_text(KG_PROBE "take", text);
}

/* What has been taken since the last kg_give(), in that order; returns how many. */
static inline unsigned long kg_read_taken(struct kg_taken *taken)
{
	static char text[KG_MOST_TAKEN * 48];
	unsigned long number = 0;
	char *line;

	kg_require(kg_try_read(KG_PROBE "taken", text, sizeof(text)), "taken: %s", strerror(errno));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), number++) {
		kg_require(number < KG_MOST_TAKEN, "more than %d pages are taken", KG_MOST_TAKEN);
		kg_require(sscanf(line, "%lu %d %x %d", &taken[number].pfn, &taken[number].node,
				  &taken[number].raw, &taken[number].frozen) == 4,
			   "taken: %s", line);
	}
	return number;
}

/* Each is as it was asked for: with one reference, or frozen. */
static inline void kg_expect_taken(const struct kg_taken *taken, unsigned long number,
				   enum kg_how how)
{
	unsigned long i;

	for (i = 0; i < number; i++)
		kg_expect(how == KG_FROZEN_PAGES ? taken[i].frozen : taken[i].raw == 1,
			  "pfn %lx, on node %d, has raw %08x", taken[i].pfn, taken[i].node,
			  taken[i].raw);
}

/* Take @number pages; returns them in @taken, judged. */
static inline void kg_take(struct kg_taken *taken, enum kg_how how, const char *gfp,
			   unsigned int order, unsigned int number)
{
	int error = kg_try_take(how, gfp, order, number);
	unsigned long got;

	kg_require(!error, "%u pages of order %u: %s", number, order, strerror(error));
	got = kg_read_taken(taken);
	kg_require(got == number, "%lu pages are taken, asked for %u", got, number);
	kg_expect_taken(taken, number, how);
}

static inline void kg_give(void)
{
	kg_write(KG_PROBE "give", 1);
}

#endif
