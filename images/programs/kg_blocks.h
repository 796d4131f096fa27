/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's memory blocks that came after boot: by a module that was plugged
 * in, or by a virtio-mem device. QEMU has the memory that a guest of 512 MiB
 * begins with below 2 GiB, and adds memory above (hw/i386/pc.c, hw/arm/virt.c).
 */
#ifndef KG_BLOCKS_H
#define KG_BLOCKS_H

#include "kg_tap.h"

#include <dirent.h>
#include <glob.h>
#include <signal.h>
#include <sys/time.h>

#define KG_MEMORY	"/sys/devices/system/memory/"
#define KG_ADDED_ABOVE	(2UL << 30)
#define KG_NO_BLOCK	(~0UL)

/* How long the kernel may take to notice and add memory. */
#define KG_BLOCK_TRIES	1000
#define KG_BLOCK_TRY_US	10000

/* A signal so often: the kernel needs longer than that to isolate a block. */
#define KG_GIVE_UP_US	300
#define KG_GIVE_UP_TRIES 20

static inline unsigned long kg_block_bytes(void)
{
	char text[64];

	if (!kg_try_read(KG_MEMORY "block_size_bytes", text, sizeof(text)))
		kg_skip("no memory hotplug: build with CONFIG_MEMORY_HOTPLUG");
	return strtoul(text, NULL, 16);
}

static inline unsigned long kg_block_pages(void)
{
	return kg_block_bytes() / KG_PAGE;
}

static inline const char *kg_block_file(unsigned long block, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), KG_MEMORY "memory%lu/%s", block, name);
	return path;
}

/*
 * How many blocks have been added; FIRST is set to the lowest number, or KG_NO_BLOCK, and
 * WHOLE to whether all have their files, which a folder gets a moment after it is there.
 */
static inline unsigned long kg_blocks(unsigned long *first, bool *whole)
{
	unsigned long lowest = KG_ADDED_ABOVE / kg_block_bytes();
	DIR *folder = opendir(KG_MEMORY);
	unsigned long found = 0, number;
	struct dirent *entry;

	kg_require(folder, KG_MEMORY ": %s", strerror(errno));
	*first = KG_NO_BLOCK;
	*whole = true;
	while ((entry = readdir(folder))) {
		if (sscanf(entry->d_name, "memory%lu", &number) != 1 || number < lowest)
			continue;
		found++;
		*whole &= !access(kg_block_file(number, "state"), F_OK);
		if (number < *first)
			*first = number;
	}
	closedir(folder);
	return found;
}

static inline bool kg_has_virtio_mem(void)
{
	glob_t devices;
	bool found = !glob("/sys/bus/virtio/drivers/virtio_mem/virtio*", 0, NULL, &devices);

	globfree(&devices);
	return found;
}

/* Does the machine have a place for a module, or a virtio-mem device? */
static inline bool kg_has_room(void)
{
	return !access("/sys/bus/acpi/devices/PNP0C80:00", F_OK) || kg_has_virtio_mem();
}

/* Wait for LEAST to MOST added blocks; returns the number of the first, or KG_NO_BLOCK. */
static inline unsigned long kg_await_blocks(unsigned long least, unsigned long most)
{
	unsigned long first, found = 0;
	bool whole;
	int i;

	for (i = 0; i < KG_BLOCK_TRIES; i++) {
		found = kg_blocks(&first, &whole);
		if (whole && found >= least && found <= most)
			return first;
		usleep(KG_BLOCK_TRY_US);
	}
	kg_require(false, "%lu blocks of memory were added, asked for %lu to %lu", found, least,
		   most);
	return KG_NO_BLOCK;
}

static inline unsigned long kg_block_pfn(unsigned long block)
{
	return block * kg_block_pages();
}

static inline bool kg_block_is(unsigned long block, const char *state)
{
	char text[64];
	const char *path = kg_block_file(block, "state");

	kg_require(kg_try_read(path, text, sizeof(text)), "%s: %s", path, strerror(errno));
	return !strncmp(text, state, strlen(state)) && text[strlen(state)] == '\n';
}

/* Returns 0 or the error. */
static inline int kg_set_block(unsigned long block, const char *state)
{
	int file = open(kg_block_file(block, "state"), O_WRONLY | O_CLOEXEC);
	int error = 0;

	kg_require(file >= 0, "block %lu: %s", block, strerror(errno));
	if (write(file, state, strlen(state)) < 0)
		error = errno;
	close(file);
	return error;
}

static inline void kg_put_block(unsigned long block, const char *how, const char *state)
{
	int error = kg_set_block(block, how);

	kg_require(!error, "block %lu: %s: %s", block, how, strerror(error));
	kg_require(kg_block_is(block, state), "block %lu is not %s", block, state);
}

static inline bool kg_in_block(unsigned long pfn, unsigned long block)
{
	return pfn - kg_block_pfn(block) < kg_block_pages();
}

/*
 * A page of ours that is in BLOCK, which has to be online and movable: such
 * memory is given to user space first. Two blocks full are touched for it at most.
 */
static inline char *kg_page_in_block(unsigned long block)
{
	unsigned long i, most = 2 * kg_block_pages();
	char *map = mmap(NULL, most * KG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	kg_require(map != MAP_FAILED, "mmap: %s", strerror(errno));
	/* Small pages, so that the counts are those of a page. */
	madvise(map, most * KG_PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < most; i++, map += KG_PAGE) {
		*map = 'x';
		if (i % 32 || !kg_in_block(kg_pfn_of(map), block))
			continue;
		kg_write("/proc/sys/vm/drop_caches", 1); /* its CPU holds a new page as well */
		return map;
	}
	kg_require(false, "none of %lu pages is in block %lu", most, block);
	return NULL;
}

static inline void kg_ignore_signal(int number)
{
	(void)number;
}

/* Have signals interrupt what this program does, one each so many microseconds; none for 0. */
static inline void kg_interrupt_every(unsigned long us)
{
	struct sigaction action = { .sa_handler = kg_ignore_signal }; /* without SA_RESTART */
	struct itimerval timer = { .it_value.tv_usec = us, .it_interval.tv_usec = us };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/*
 * Begin to put BLOCK offline, and give up. The kernel looks for a signal after
 * it has told its drivers, and before and between moving pages (offline_pages(),
 * 7.2). One that comes too late is tried again: BLOCK was movable, and still is.
 */
static inline void kg_give_up_offlining(unsigned long block)
{
	int error = 0, i;

	for (i = 0; i < KG_GIVE_UP_TRIES; i++) {
		kg_interrupt_every(KG_GIVE_UP_US);
		error = kg_set_block(block, "offline");
		kg_interrupt_every(0);
		if (error == EINTR)
			break;
		kg_require(!error, "offlining: %s, asked for %s", strerror(error), strerror(EINTR));
		kg_put_block(block, "online_movable", "online");
	}
	kg_require(error == EINTR, "offlining was not given up in %d tries", KG_GIVE_UP_TRIES);
	kg_require(kg_block_is(block, "online"), "block %lu is not online any more", block);
}

/* The added block, offline. */
static inline unsigned long kg_offline_block(void)
{
	unsigned long first, block;
	bool whole;

	if (!kg_blocks(&first, &whole) && !kg_has_room())
		kg_skip("no memory can be added: run on --machine hotplug or virtio-mem");
	block = kg_await_blocks(1, 2);
	if (kg_block_is(block, "online"))
		kg_put_block(block, "offline", "offline");
	return block;
}

/* The added block, online, and nothing in it that could not be moved away. */
static inline unsigned long kg_movable_block(void)
{
	unsigned long block = kg_offline_block();

	kg_put_block(block, "online_movable", "online");
	return block;
}

#endif
