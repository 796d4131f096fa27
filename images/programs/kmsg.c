// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmsg [FIRST]: print the records of /dev/kmsg as they are, from sequence number
 * FIRST (default: the oldest) to the newest, and end there.
 *
 * The format is that of Documentation/ABI/testing/dev-kmsg. Exit status: 0 when
 * no record was overwritten under the reader, 2 when one was (EPIPE; the gap in
 * the sequence numbers shows where), 1 for anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* More than a record can be: PRINTK_MESSAGE_MAX is 2048, CONSOLE_EXT_LOG_MAX was 8192. */
static char record[65536];

int main(int argc, char **argv)
{
	unsigned long long first = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	int status = 0;

	if (fd < 0) {
		perror("/dev/kmsg");
		return 1;
	}
	for (;;) {
		ssize_t size = read(fd, record, sizeof(record) - 1);

		if (size < 0 && errno == EPIPE) {
			status = 2;
			continue;
		}
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			break;
		record[size] = '\0';
		/* PRIORITY,SEQUENCE,TIME,FLAGS;TEXT */
		unsigned long long sequence = 0;

		if (sscanf(record, "%*u,%llu,", &sequence) == 1 && sequence < first)
			continue;
		fwrite(record, 1, size, stdout);
	}
	if (errno != EAGAIN) {
		perror("/dev/kmsg");
		return 1;
	}
	return fflush(stdout) ? 1 : status;
}
