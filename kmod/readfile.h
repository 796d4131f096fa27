/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading what the kernel itself shows in a file, from inside the kernel.
 *
 * Not by kernel_read(): it refuses files that can be read in two ways, as the
 * trace can.
 */
#ifndef KG_READFILE_H
#define KG_READFILE_H

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/uio.h>

/* Read @file to its end, or until @size - 1 bytes are there; the text ends in 0. */
static inline ssize_t kg_read_file(struct file *file, char *text, size_t size)
{
	struct kvec vec = { .iov_base = text, .iov_len = size - 1 };
	struct iov_iter iter;
	struct kiocb kiocb;
	ssize_t got;

	init_sync_kiocb(&kiocb, file);
	iov_iter_kvec(&iter, READ, &vec, 1, vec.iov_len);
	do {
		got = file->f_op->read_iter(&kiocb, &iter);
	} while (got > 0 && iov_iter_count(&iter));
	text[vec.iov_len - iov_iter_count(&iter)] = 0;
	return got < 0 ? got : vec.iov_len - iov_iter_count(&iter);
}

#endif
