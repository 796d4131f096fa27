/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file of our own: a page cache that nobody else puts anything into.
 */
#ifndef KG_INODE_H
#define KG_INODE_H

#include <kunit/test.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>

#include "kg.h"
#include "symbols.h"

#define KG_FS_MAGIC	0x6b67

static int kg_init_fs_context(struct fs_context *context)
{
	return init_pseudo(context, KG_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type kg_fs = {
	.name = "kg",
	.init_fs_context = kg_init_fs_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *kg_mount;
static struct inode *kg_inode;
static void (*kg_lru_add_drain)(void);

/* A file of @size bytes, without a page as yet. */
static void kg_open(struct kunit *test, loff_t size)
{
	kg_lru_add_drain = kg_lookup("lru_add_drain");
	KUNIT_ASSERT_NOT_NULL(test, kg_lru_add_drain);
	kg_mount = kern_mount(&kg_fs);
	KUNIT_ASSERT_FALSE(test, IS_ERR(kg_mount));
	kg_inode = alloc_anon_inode(kg_mount->mnt_sb);
	KUNIT_ASSERT_FALSE(test, IS_ERR(kg_inode));
	i_size_write(kg_inode, size);
	mapping_set_large_folios(kg_inode->i_mapping);
}

static void kg_close(void)
{
	iput(kg_inode);
	kern_unmount(kg_mount);
}

/*
 * Put @folio, which the caller keeps a reference on and has locked afterwards,
 * at the beginning of the file. No list of a CPU has a reference on it either.
 */
static bool kg_add_to_cache(struct folio *folio)
{
	if (filemap_add_folio(kg_inode->i_mapping, folio, 0, GFP_KERNEL))
		return false;
	kg_lru_add_drain();
	folio_mark_uptodate(folio);
	return true;
}

#endif
