// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages under slab objects and large kmallocs: in which state they are while they are
 * used (page_state.h), and that they come back when they are not.
 *
 * On 6.1 the same with the other allocator: --config slab.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "compat.h"
#include "expect.h"
#include "frozen.h"
#include "kg.h"
#include "page_state.h"
#include "scan.h"

#define KG_OBJECTS	32
#define KG_MAGIC	0x6b676b67
/* So much less than whole pages leaves the allocator room for what it keeps by an object. */
#define KG_ROOM		64
#define KG_LARGE	(16 * PAGE_SIZE)
#define KG_DEBUG_FLAGS	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER)

struct kg_object {
	u32 magic;
	struct rcu_head rcu;
};

static struct kmem_cache *kg_cache;
static struct kg_object *kg_objects[KG_OBJECTS];

/* A cache with a constructor is merged with no other. */
static void kg_construct(void *memory)
{
	struct kg_object *object = memory;

	object->magic = KG_MAGIC;
}

static void kg_make_cache(struct kunit *test, size_t size, slab_flags_t flags)
{
	bool poisoned = flags & SLAB_POISON;

	kg_cache = kmem_cache_create("kg", size, 0, flags, poisoned ? NULL : kg_construct);
	KUNIT_ASSERT_NOT_NULL(test, kg_cache);
}

static void kg_fill(struct kunit *test)
{
	int i;

	for (i = 0; i < KG_OBJECTS; i++) {
		kg_objects[i] = kmem_cache_alloc(kg_cache, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, kg_objects[i]);
	}
}

static void kg_empty(void)
{
	int i;

	for (i = 0; i < KG_OBJECTS; i++) {
		if (kg_objects[i])
			kmem_cache_free(kg_cache, kg_objects[i]);
		kg_objects[i] = NULL;
	}
}

/* Can the page be taken a reference on by its number? What is taken is put. */
static bool kg_can_be_got(struct page *page)
{
	if (!get_page_unless_zero(page))
		return false;
	put_page(page);
	return true;
}

static void kg_expect_slab(struct kunit *test, const void *object)
{
	struct page *page = virt_to_head_page(object);

	KUNIT_EXPECT_TRUE(test, PageSlab(page));
	kg_expect_state(test, page, KG_SLAB_PAGES);
	KUNIT_EXPECT_EQ(test, kg_can_be_got(page), !kg_user_is_frozen(KG_SLAB_PAGES));
	kg_expect_state(test, page, KG_SLAB_PAGES);
}

/* Objects of @size in slabs of at least @order, which is returned. */
static unsigned int kg_check_slabs(struct kunit *test, size_t size, slab_flags_t flags,
				   unsigned int order)
{
	unsigned int found;
	int i;

	kg_make_cache(test, size, flags);
	kg_fill(test);
	found = compound_order(virt_to_head_page(kg_objects[0]));
	KUNIT_EXPECT_GE(test, found, order);
	for (i = 0; i < KG_OBJECTS; i++)
		kg_expect_slab(test, kg_objects[i]);
	kg_empty();
	kmem_cache_destroy(kg_cache);
	kg_cache = NULL;
	return found;
}

static void kg_check_every_order(struct kunit *test, slab_flags_t flags)
{
	unsigned int order;

	/* A few small objects fill no page. */
	KUNIT_EXPECT_EQ(test, kg_check_slabs(test, sizeof(struct kg_object), flags, 0), 0U);
	for (order = 1; order <= 3; order++)
		kg_check_slabs(test, (PAGE_SIZE << order) - KG_ROOM, flags, order);
	kg_expect_invariant(test);
}

static void slabs_of_every_order_are_in_their_state(struct kunit *test)
{
	kg_check_every_order(test, 0);
}

static void slabs_that_are_debugged_are_in_their_state(struct kunit *test)
{
	kg_check_every_order(test, KG_DEBUG_FLAGS);
}

/* Each object has a slab of its own, of order 3: nobody else is quick to want such a block. */
static void kg_make_large_slabs(struct kunit *test, slab_flags_t flags, struct page **pages)
{
	int i;

	kg_make_cache(test, (PAGE_SIZE << 3) - KG_ROOM, flags);
	kg_fill(test);
	for (i = 0; i < KG_OBJECTS; i++)
		pages[i] = virt_to_head_page(kg_objects[i]);
}

static int kg_slabs_among(struct page **pages)
{
	int i, slabs = 0;

	for (i = 0; i < KG_OBJECTS; i++)
		slabs += !!PageSlab(pages[i]);
	return slabs;
}

/* Whoever frees a block takes it apart; one that is lost is no slab any more, and still whole. */
static int kg_whole_among(struct page **pages)
{
	int i, whole = 0;

	for (i = 0; i < KG_OBJECTS; i++)
		whole += !!PageHead(pages[i]);
	return whole;
}

static void pages_of_a_cache_come_back(struct kunit *test)
{
	struct page *pages[KG_OBJECTS];

	kg_make_large_slabs(test, 0, pages);
	KUNIT_EXPECT_EQ(test, kg_slabs_among(pages), KG_OBJECTS);
	kg_empty();
	kmem_cache_shrink(kg_cache);
	KUNIT_EXPECT_LT(test, kg_slabs_among(pages), KG_OBJECTS / 2);
	KUNIT_EXPECT_LT(test, kg_whole_among(pages), KG_OBJECTS / 2);
	kg_expect_invariant(test);

	kg_fill(test);
	kg_empty();
	kmem_cache_destroy(kg_cache);
	kg_cache = NULL;
	kg_expect_invariant(test);
}

/* Somebody who looks at objects that may be freed any time, as such caches allow. */
struct kg_reader {
	struct completion begun, ended;
	struct page **pages;
	struct kg_object *objects[KG_OBJECTS];
	bool enough;
	int slabs, in_state, constructed;
};

static int kg_read(void *data)
{
	struct kg_reader *reader = data;
	int i;

	rcu_read_lock();
	complete(&reader->begun);
	while (!READ_ONCE(reader->enough))
		cpu_relax();
	for (i = 0; i < KG_OBJECTS; i++) {
		reader->slabs += !!PageSlab(reader->pages[i]);
		reader->in_state += kg_in_state(reader->pages[i], KG_SLAB_PAGES);
		reader->constructed += READ_ONCE(reader->objects[i]->magic) == KG_MAGIC;
	}
	rcu_read_unlock();
	complete(&reader->ended);
	return 0;
}

static void freed_slabs_stay_for_who_looks_under_rcu(struct kunit *test)
{
	struct page *pages[KG_OBJECTS];
	struct kg_reader reader = { .pages = pages };
	struct task_struct *task;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs: run on --machine smp2");
	kg_make_large_slabs(test, SLAB_TYPESAFE_BY_RCU, pages);
	memcpy(reader.objects, kg_objects, sizeof(reader.objects));
	init_completion(&reader.begun);
	init_completion(&reader.ended);
	task = kthread_run(kg_read, &reader, "kg_reader");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&reader.begun);
	kg_empty();
	kmem_cache_shrink(kg_cache);
	WRITE_ONCE(reader.enough, true);
	wait_for_completion(&reader.ended);

	KUNIT_EXPECT_EQ(test, reader.slabs, KG_OBJECTS);
	KUNIT_EXPECT_EQ(test, reader.in_state, KG_OBJECTS);
	KUNIT_EXPECT_EQ(test, reader.constructed, KG_OBJECTS);
	rcu_barrier();
	KUNIT_EXPECT_LT(test, kg_slabs_among(pages), KG_OBJECTS / 2);
	kg_expect_invariant(test);
}

static void large_kmalloc_is_in_its_state(struct kunit *test)
{
	size_t size;

	for (size = 3 * PAGE_SIZE; size <= 256 * PAGE_SIZE; size *= 3) {
		void *memory = kmalloc(size, GFP_KERNEL);
		struct page *page;

		KUNIT_ASSERT_NOT_NULL(test, memory);
		page = virt_to_head_page(memory);
		KUNIT_EXPECT_FALSE(test, PageSlab(page));
		KUNIT_EXPECT_EQ(test, kg_page_is_large_kmalloc(page), kg_has_large_kmalloc());
		KUNIT_EXPECT_EQ(test, compound_order(page), (unsigned int)get_order(size));
		kg_expect_state(test, page, KG_LARGE_KMALLOC_PAGES);
		KUNIT_EXPECT_EQ(test, kg_can_be_got(page),
				!kg_user_is_frozen(KG_LARGE_KMALLOC_PAGES));
		kfree(memory);
	}
	kg_expect_invariant(test);
}

/* The network may send what it can take a reference on, and is no slab. */
static void only_counted_pages_can_be_sent(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *large = kmalloc(KG_LARGE, GFP_KERNEL);
	void *small = kmalloc(64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, large);
	KUNIT_ASSERT_NOT_NULL(test, small);
	KUNIT_EXPECT_TRUE(test, sendpage_ok(page));
	KUNIT_EXPECT_FALSE(test, sendpage_ok(virt_to_head_page(small)));
	KUNIT_EXPECT_EQ(test, sendpage_ok(virt_to_head_page(large)),
			!kg_user_is_frozen(KG_LARGE_KMALLOC_PAGES));
	kfree(small);
	kfree(large);
	__free_page(page);
}

static void frozen_page_cannot_be_sent(struct kunit *test)
{
	struct page *page;

	kg_need_frozen_alloc(test);
	page = kg_alloc_frozen_on(numa_mem_id(), GFP_KERNEL, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, sendpage_ok(page));
	kg_free_frozen(page, 0);
}

static void object_freed_by_rcu_stays_for_who_looks(struct kunit *test)
{
	struct kg_object *small = kmalloc(sizeof(*small), GFP_KERNEL);
	struct kg_object *large = kmalloc(KG_LARGE, GFP_KERNEL);
	struct page *slab, *pages;

	KUNIT_ASSERT_NOT_NULL(test, small);
	KUNIT_ASSERT_NOT_NULL(test, large);
	slab = virt_to_head_page(small);
	pages = virt_to_head_page(large);
	rcu_read_lock();
	kfree_rcu(small, rcu);
	kfree_rcu(large, rcu);
	KUNIT_EXPECT_TRUE(test, PageSlab(slab));
	KUNIT_EXPECT_TRUE(test, kg_in_state(slab, KG_SLAB_PAGES));
	KUNIT_EXPECT_TRUE(test, kg_in_state(pages, KG_LARGE_KMALLOC_PAGES));
	rcu_read_unlock();
}

static void kg_free_object(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct kg_object, rcu));
}

static void large_kmallocs_freed_in_a_callback_come_back(struct kunit *test)
{
	struct page *pages[KG_OBJECTS];
	struct kg_object *object;
	int i;

	for (i = 0; i < KG_OBJECTS; i++) {
		object = kmalloc(KG_LARGE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, object);
		pages[i] = virt_to_head_page(object);
		call_rcu(&object->rcu, kg_free_object);
	}
	rcu_barrier();
	KUNIT_EXPECT_LT(test, kg_whole_among(pages), KG_OBJECTS / 2);
	kg_expect_invariant(test);
}

static void object_got_without_a_lock_is_in_a_slab(struct kunit *test)
{
	void *object = NULL;
	int i;

	if (!kg_has_kmalloc_nolock())
		kunit_skip(test, "no kmalloc_nolock() before 6.18: run with --base 7.2");
	/* It gives up rather than wait, so that it may have to be asked again. */
	for (i = 0; i < 100 && !object; i++)
		object = kg_kmalloc_nolock(64);
	KUNIT_ASSERT_NOT_NULL(test, object);
	kg_expect_slab(test, object);
	kg_kfree_nolock(object);
}

static void kg_slab_exit(struct kunit *test)
{
	if (!kg_cache)
		return;
	kg_empty();
	kmem_cache_destroy(kg_cache);
	kg_cache = NULL;
}

static struct kunit_case kg_slab_cases[] = {
	KG_CASE("SLAB-01", slabs_of_every_order_are_in_their_state),
	KG_CASE("SLAB-02", pages_of_a_cache_come_back),
	KG_CASE("SLAB-02", freed_slabs_stay_for_who_looks_under_rcu),
	KG_CASE("SLAB-03", large_kmalloc_is_in_its_state),
	KG_CASE("SLAB-05", only_counted_pages_can_be_sent),
	KG_CASE("SLAB-05", frozen_page_cannot_be_sent),
	KG_CASE("SLAB-06", slabs_that_are_debugged_are_in_their_state),
	KG_CASE("SLAB-07", object_freed_by_rcu_stays_for_who_looks),
	KG_CASE("SLAB-07", large_kmallocs_freed_in_a_callback_come_back),
	KG_CASE("SLAB-07", object_got_without_a_lock_is_in_a_slab),
	{}
};

static struct kunit_suite kg_slab_suite = {
	.name = "slab",
	.exit = kg_slab_exit,
	.test_cases = kg_slab_cases,
};

kunit_test_suite(kg_slab_suite);

MODULE_DESCRIPTION("KUnit: the pages of slabs and large kmallocs");
MODULE_LICENSE("GPL");
