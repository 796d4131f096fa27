// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of how a network driver, gve, shares its receive buffers.
 *
 * It takes almost all references that a page can have in advance, hands one to
 * the network stack with each packet by lowering its own share, the bias, and
 * learns from the difference of count and bias how many users there are. There
 * is no such card in an emulator, so its arithmetic is repeated here
 * (drivers/net/ethernet/google/gve/: gve_buf_ref_cnt(), gve_rx_can_recycle_buffer())
 * with the bias that the driver of this tree uses.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "kg.h"

struct kg_buffer {
	struct page *page;
	int bias;
};

static struct kg_buffer kg_new_buffer(struct kunit *test)
{
	struct kg_buffer buffer = { alloc_page(GFP_KERNEL), KG_GVE_BIAS };

	KUNIT_ASSERT_NOT_NULL(test, buffer.page);
	page_ref_add(buffer.page, buffer.bias - 1);
	return buffer;
}

static int kg_users(const struct kg_buffer *buffer)
{
	return page_count(buffer->page) - buffer->bias;
}

static void unused_buffer_has_no_users(struct kunit *test)
{
	struct kg_buffer buffer = kg_new_buffer(test);

	KUNIT_EXPECT_EQ(test, page_count(buffer.page), buffer.bias);
	KUNIT_EXPECT_EQ(test, kg_users(&buffer), 0);
	kg_release(buffer.page, 0);
}

static void buffer_given_away_comes_back(struct kunit *test)
{
	struct kg_buffer buffer = kg_new_buffer(test);

	buffer.bias--;
	KUNIT_EXPECT_EQ(test, kg_users(&buffer), 1);
	KUNIT_EXPECT_FALSE(test, put_page_testzero(buffer.page));
	KUNIT_EXPECT_EQ(test, kg_users(&buffer), 0);
	kg_release(buffer.page, 0);
}

/* A packet that is cloned takes references that the driver has not set aside. */
static void reference_of_the_stack_is_one_user_more(struct kunit *test)
{
	struct kg_buffer buffer = kg_new_buffer(test);

	buffer.bias--;
	get_page(buffer.page);
	KUNIT_EXPECT_EQ_MSG(test, kg_users(&buffer), 2, "raw %08x, bias %d",
			    kg_raw(buffer.page), buffer.bias);
	KUNIT_EXPECT_NE_MSG(test, page_count(buffer.page), 0,
			    "a buffer in use looks frozen: raw %08x", kg_raw(buffer.page));
	kg_release(buffer.page, 0);
}

static struct kunit_case kg_gve_cases[] = {
	KG_CASE("GVE-01", unused_buffer_has_no_users),
	KG_CASE("GVE-01", buffer_given_away_comes_back),
	KG_CASE("GVE-01", reference_of_the_stack_is_one_user_more),
	{}
};

static struct kunit_suite kg_gve_suite = {
	.name = "gve",
	.test_cases = kg_gve_cases,
};

kunit_test_suite(kg_gve_suite);

MODULE_DESCRIPTION("KUnit: a driver that holds almost all references a page can have");
MODULE_LICENSE("GPL");
