// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that misbehave after a report that looks good. They are about the
 * gate, which must not believe them, and not about the kernel.
 */
#include "kg_tap.h"

static void kg_report_success(void)
{
	printf("ok 1 %s\n", kg_current->claim);
}

static void program_that_never_ends(void)
{
	kg_report_success();
	for (;;)
		pause();
}

static void program_that_a_bus_error_ends(void)
{
	int file = open("/tmp/empty", O_RDWR | O_CREAT, 0600);
	char *page = mmap(NULL, KG_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	kg_require(page != MAP_FAILED, "mmap: %s", strerror(errno));
	kg_report_success();
	*page = 1;
}

static void program_that_kills_the_kernel(void)
{
	kg_report_success();
	kg_try_write_text("/proc/sysrq-trigger", "c");
}

/* The report of another run is not that of this one. */
static void program_that_reports_another_claim(void)
{
	printf("ok 1 another_claim\n");
	exit(0);
}

const struct kg_case kg_cases[] = {
	KG_CASE("GATE-20", program_that_never_ends),
	KG_CASE("GATE-21", program_that_a_bus_error_ends),
	KG_CASE("GATE-22", program_that_kills_the_kernel),
	KG_CASE("GATE-23", program_that_reports_another_claim),
	{}
};
