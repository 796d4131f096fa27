/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every test program here is made of: a table of cases, TAP 14 on the
 * standard output, and an eye on the pages (kmod/kg_probe.c).
 *
 *	./kg_NAME CLAIM		run this one case
 *
 * A program runs one case and ends. What it notes is written to the kernel's
 * log as well, so that a guest that dies under it shows how far it came.
 *
 * Each case ends with the scan of the invariant: whatever it did, the pages
 * that nobody owns have to look frozen afterwards.
 */
#ifndef KG_TAP_H
#define KG_TAP_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __printf
#define __printf(text, first)	__attribute__((__format__(printf, text, first)))
#endif
#ifndef __noreturn
#define __noreturn		__attribute__((__noreturn__))
#endif

#define KG_PROBE	"/sys/kernel/debug/kg_probe/"
#define KG_PAGE		((unsigned long)sysconf(_SC_PAGESIZE))

struct kg_case {
	const char *id;
	const char *claim;
	void (*run)(void);
};

/* One line a case: the gate lists them by reading these lines. */
#define KG_CASE(id, claim)	{ id, #claim, claim }

/* The table of the program, ended by an empty line. */
extern const struct kg_case kg_cases[];

static const struct kg_case *kg_current;
static bool kg_failed;

/* Write TEXT to PATH in one piece; returns 0 or the error. */
static inline int kg_try_write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (file < 0)
		return errno;
	if (write(file, text, strlen(text)) < 0)
		error = errno;
	close(file);
	return error;
}

static void kg_say(const char *format, va_list values)
{
	char text[512], line[600];

	vsnprintf(text, sizeof(text), format, values);
	printf("# %s\n", text);
	snprintf(line, sizeof(line), "%s: %s\n", program_invocation_short_name, text);
	kg_try_write_text("/dev/kmsg", line);
}

/* Say something that a person will want to know of a failure. */
__printf(1, 2)
static inline void kg_note(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	kg_say(format, values);
	va_end(values);
}

/* The case has failed; it goes on, to show what else is wrong. */
__printf(1, 2)
static inline void kg_fail(const char *format, ...)
{
	va_list values;

	kg_failed = true;
	va_start(values, format);
	kg_say(format, values);
	va_end(values);
}

/* Print the result line and end the program. */
__noreturn
static inline void kg_end(void)
{
	printf("%sok 1 %s\n", kg_failed ? "not " : "", kg_current->claim);
	exit(kg_failed ? 1 : 0);
}

#define kg_expect(truth, ...)			\
	do {					\
		if (!(truth))			\
			kg_fail(__VA_ARGS__);	\
	} while (0)

#define kg_require(truth, ...)			\
	do {					\
		if (!(truth)) {			\
			kg_fail(__VA_ARGS__);	\
			kg_end();		\
		}				\
	} while (0)

/* What the case needs is not here: "what is missing: what would help". */
__noreturn
static inline void kg_skip(const char *reason)
{
	printf("ok 1 %s # SKIP %s\n", kg_current->claim, reason);
	exit(0);
}

/*
 * Small files of the kernel.
 */

/* Read PATH into TEXT. False: there is no such file, or it refuses. */
static inline bool kg_try_read(const char *path, char *text, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t more = 0;

	if (file < 0)
		return false;
	while (length + 1 < size) {
		more = read(file, text + length, size - length - 1);
		if (more <= 0)
			break;
		length += more;
	}
	text[length] = '\0';
	close(file);
	return more >= 0;
}

static inline unsigned long kg_read(const char *path)
{
	char text[64];

	kg_require(kg_try_read(path, text, sizeof(text)), "%s: %s", path, strerror(errno));
	return strtoul(text, NULL, 0);
}

/* Write VALUE, in decimal, to PATH; returns 0 or the error. */
static inline int kg_try_write(const char *path, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	return kg_try_write_text(path, text);
}

static inline void kg_write(const char *path, unsigned long value)
{
	int error = kg_try_write(path, value);

	kg_require(!error, "%lu > %s: %s", value, path, strerror(error));
}

/* The number after NAME in a file of lines "NAME NUMBER"; -1 if there is none. */
static inline long kg_field(const char *path, const char *name)
{
	static char text[65536];
	size_t length = strlen(name);
	char *line;

	kg_require(kg_try_read(path, text, sizeof(text)), "%s: %s", path, strerror(errno));
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strncmp(line, name, length) && strchr(" :\t", line[length]))
			return strtol(line + length + 1, NULL, 10);
	}
	return -1;
}

/*
 * Pages, by their number. The flags are those of /proc/kpageflags
 * (include/uapi/linux/kernel-page-flags.h).
 */

#define KG_BIT(nr)	(1ULL << (nr))
#define KG_SLAB		KG_BIT(7)
#define KG_BUDDY	KG_BIT(10)
#define KG_COMPOUND_HEAD KG_BIT(15)
#define KG_COMPOUND_TAIL KG_BIT(16)
#define KG_HUGE		KG_BIT(17)
#define KG_HWPOISON	KG_BIT(19)
#define KG_NOPAGE	KG_BIT(20)
#define KG_RESERVED	KG_BIT(32)

static inline unsigned long long kg_word(const char *path, unsigned long index)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	unsigned long long word = 0;
	ssize_t size;

	kg_require(file >= 0, "%s: %s", path, strerror(errno));
	size = pread(file, &word, sizeof(word), index * sizeof(word));
	close(file);
	kg_require(size == sizeof(word), "%s: nothing at %lu", path, index);
	return word;
}

static inline unsigned long long kg_flags(unsigned long pfn)
{
	return kg_word("/proc/kpageflags", pfn);
}

static inline unsigned long long kg_mapped(const void *address)
{
	return kg_word("/proc/self/pagemap", (uintptr_t)address / KG_PAGE);
}

/* Is there a page behind ADDRESS? Bit 63 of pagemap. */
static inline bool kg_is_there(const void *address)
{
	return kg_mapped(address) >> 63;
}

/* The page behind ADDRESS, which must be there. */
static inline unsigned long kg_pfn_of(const void *address)
{
	unsigned long long word = kg_mapped(address);

	kg_require(word >> 63, "no page at %p", address);
	return word & (KG_BIT(55) - 1);
}

static inline void kg_aim(unsigned long pfn)
{
	kg_write(KG_PROBE "pfn", pfn);
}

/* The counter as it is stored. */
static inline uint32_t kg_raw(unsigned long pfn)
{
	char text[32];

	kg_aim(pfn);
	kg_require(kg_try_read(KG_PROBE "raw", text, sizeof(text)), "raw: %s", strerror(errno));
	return strtoul(text, NULL, 16);
}

/* Does the counter say that the page is frozen, on this kernel? */
static inline bool kg_frozen(unsigned long pfn)
{
	kg_aim(pfn);
	return kg_read(KG_PROBE "frozen");
}

static inline long kg_count(unsigned long pfn)
{
	kg_aim(pfn);
	return (long)kg_read(KG_PROBE "count");
}

/* The page that its struct page is in. */
static inline unsigned long kg_memmap(unsigned long pfn)
{
	kg_aim(pfn);
	return kg_read(KG_PROBE "memmap");
}

/* get_page_unless_zero() */
static inline bool kg_try_get(unsigned long pfn)
{
	kg_aim(pfn);
	kg_write(KG_PROBE "try_get", 1);
	return kg_read(KG_PROBE "result");
}

static inline void kg_put(unsigned long pfn)
{
	kg_aim(pfn);
	kg_write(KG_PROBE "put", 1);
}

/* Free pages that the CPUs keep by them go to the buddy allocator, where they can be seen. */
static inline void kg_drain(void)
{
	kg_write(KG_PROBE "drain", 1);
}

/* How many pages are not frozen that have to be; notes the first of them. */
static inline unsigned long kg_scan_bad(void)
{
	static char text[4096];
	unsigned long bad;
	char *line;

	kg_require(kg_try_read(KG_PROBE "scan", text, sizeof(text)), "scan: %s", strerror(errno));
	kg_require(sscanf(text, "bad %lu", &bad) == 1, "scan: %s", text);
	for (line = strtok(text, "\n"); line && bad; line = strtok(NULL, "\n"))
		kg_note("%s", line);
	return bad;
}

static inline void kg_expect_invariant(void)
{
	unsigned long bad = kg_scan_bad();

	kg_expect(!bad, "%lu pages that nobody owns are not frozen", bad);
	kg_expect(kg_field(KG_PROBE "scan", "buddy_blocks") > 0, "the scan saw no free block");
	kg_expect(kg_field(KG_PROBE "scan", "tails") > 0, "the scan saw no tail");
}

static inline void kg_run_case(const struct kg_case *chosen)
{
	kg_current = chosen;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 14\n1..1\n");
	kg_note("%s %s", chosen->id, chosen->claim);
	chosen->run();
	kg_expect_invariant();
	kg_end();
}

int main(int argc, char **argv)
{
	const struct kg_case *chosen;

	for (chosen = kg_cases; argc == 2 && chosen->run; chosen++) {
		if (!strcmp(argv[1], chosen->claim))
			kg_run_case(chosen);
	}
	fprintf(stderr, "%s CLAIM: no such claim\n", argv[0]);
	return 2;
}

#endif
