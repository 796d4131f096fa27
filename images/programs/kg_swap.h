/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A disk in memory to swap to.
 */
#ifndef KG_SWAP_H
#define KG_SWAP_H

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/swap.h>

#include "kg_tap.h"

#define KG_DISK		"/dev/ram0"
#define KG_MAGIC	"SWAPSPACE2"

/* As mkswap does it: linux/swap.h, union swap_header. */
static inline void kg_make_swap(void)
{
	char *header = calloc(1, KG_PAGE);
	unsigned int *info = (void *)(header + 1024);
	int disk = open(KG_DISK, O_RDWR | O_CLOEXEC);
	unsigned long long size;

	if (disk < 0)
		kg_skip("no disk in memory: a kernel with CONFIG_BLK_DEV_RAM");
	kg_require(!ioctl(disk, BLKGETSIZE64, &size), "%s: %s", KG_DISK, strerror(errno));
	info[0] = 1;
	info[1] = size / KG_PAGE - 1;
	memcpy(header + KG_PAGE - strlen(KG_MAGIC), KG_MAGIC, strlen(KG_MAGIC));
	kg_require(pwrite(disk, header, KG_PAGE, 0) == (ssize_t)KG_PAGE,
		   "%s: %s", KG_DISK, strerror(errno));
	close(disk);
	kg_require(!swapon(KG_DISK, 0), "swapon: %s", strerror(errno));
}

#endif
