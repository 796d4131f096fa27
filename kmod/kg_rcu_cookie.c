// SPDX-License-Identifier: GPL-2.0-only
/*
 * The laws of RCU's cookies: a note of now, and later the answer to whether all who
 * were readers then have left.
 *
 * A series of 2011 asked for them, to know whether the count of a page may still be
 * raised by somebody who found it in an earlier life. They came, as
 * get_state_synchronize_rcu() and poll_state_synchronize_rcu(); what is expected here
 * is what Documentation/RCU and the comments of kernel/rcu/tree.c (7.2) promise of them.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/rcupdate_wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "kg.h"

/* How long a reader stays, in milliseconds: many grace periods could end meanwhile. */
#define KG_STAY		100
/* How long a grace period that nobody waits for may take, in milliseconds, on a busy machine. */
#define KG_SOON		10000

/* How many more a plain cookie may take to notice that one is over. */
#define KG_PERIODS	3

/* Both kinds of note of the same moment: one knows of expedited periods only in part. */
struct kg_cookie {
	unsigned long plain;
	KG_RCU_STATE full;
};

static struct kg_cookie kg_now(void)
{
	struct kg_cookie now;

	now.plain = get_state_synchronize_rcu();
	get_state_synchronize_rcu_full(&now.full);
	return now;
}

static void kg_expect_not_over(struct kunit *test, struct kg_cookie *cookie)
{
	KUNIT_EXPECT_FALSE(test, poll_state_synchronize_rcu(cookie->plain));
	KUNIT_EXPECT_FALSE(test, poll_state_synchronize_rcu_full(&cookie->full));
}

/*
 * The plain one can miss a period while one of the other kind runs, and whoever asks has to ask
 * again (kernel/rcu/tree.c, poll_state_synchronize_rcu()): the next period will do.
 */
static void kg_expect_over(struct kunit *test, struct kg_cookie *cookie)
{
	int i;

	KUNIT_EXPECT_TRUE(test, poll_state_synchronize_rcu_full(&cookie->full));
	for (i = 0; i < KG_PERIODS && !poll_state_synchronize_rcu(cookie->plain); i++)
		synchronize_rcu();
	KUNIT_EXPECT_TRUE(test, poll_state_synchronize_rcu(cookie->plain));
}

/* Somebody else waits for a grace period, in either way. */
struct kg_waiter {
	struct work_struct work;
	void (*wait)(void);
	struct completion begun;
};

static void kg_wait(struct work_struct *work)
{
	struct kg_waiter *waiter = container_of(work, struct kg_waiter, work);

	complete(&waiter->begun);
	waiter->wait();
}

static void kg_reader_outlasts(struct kunit *test, void (*wait)(void))
{
	struct kg_waiter waiter = { .wait = wait };
	struct kg_cookie cookie;

	INIT_WORK_ONSTACK(&waiter.work, kg_wait);
	init_completion(&waiter.begun);
	rcu_read_lock();
	cookie = kg_now();
	/* Unbound: it need not wait until this CPU has time for it. */
	queue_work(system_unbound_wq, &waiter.work);
	mdelay(KG_STAY);
	kg_expect_not_over(test, &cookie);
	rcu_read_unlock();

	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&waiter.begun, HZ));
	flush_work(&waiter.work);
	destroy_work_on_stack(&waiter.work);
	kg_expect_over(test, &cookie);
}

/* Whoever waits, and however much he hurries. */
static void cookie_of_a_reader_is_not_over_while_he_reads(struct kunit *test)
{
	kg_reader_outlasts(test, synchronize_rcu);
}

static void cookie_of_a_reader_is_not_over_for_one_in_a_hurry(struct kunit *test)
{
	kg_reader_outlasts(test, synchronize_rcu_expedited);
}

static void cookie_is_over_after_a_grace_period(struct kunit *test)
{
	struct kg_cookie cookie = kg_now();

	synchronize_rcu();
	kg_expect_over(test, &cookie);
	cookie = kg_now();
	synchronize_rcu_expedited();
	kg_expect_over(test, &cookie);
}

static void what_is_over_stays_over(struct kunit *test)
{
	struct kg_cookie cookie = kg_now();
	int i;

	synchronize_rcu();
	for (i = 0; i < 10; i++) {
		kg_expect_over(test, &cookie);
		synchronize_rcu_expedited();
	}
	rcu_read_lock();
	kg_expect_over(test, &cookie);
	rcu_read_unlock();
}

/* Whoever left before the later note has left before the earlier one's grace period is over. */
static void earlier_cookie_is_over_first(struct kunit *test)
{
	struct kg_cookie earlier = kg_now(), later;

	msleep(KG_STAY);
	later = kg_now();
	cond_synchronize_rcu(later.plain);
	KUNIT_EXPECT_TRUE(test, poll_state_synchronize_rcu(earlier.plain));
	cond_synchronize_rcu_full(&later.full);
	kg_expect_over(test, &earlier);
}

static void completed_cookie_is_over_at_any_time(struct kunit *test)
{
	struct kg_cookie completed = { .plain = get_completed_synchronize_rcu() };

	get_completed_synchronize_rcu_full(&completed.full);
	kg_expect_over(test, &completed);
	rcu_read_lock();
	kg_expect_over(test, &completed);
	rcu_read_unlock();
	synchronize_rcu();
	kg_expect_over(test, &completed);
}

/* A period that is asked for comes, and nobody has to wait for it. */
static void period_that_is_started_ends_by_itself(struct kunit *test)
{
	struct kg_cookie cookie;
	int i;

	rcu_read_lock();
	cookie.plain = start_poll_synchronize_rcu();
	start_poll_synchronize_rcu_full(&cookie.full);
	kg_expect_not_over(test, &cookie);
	rcu_read_unlock();

	for (i = 0; i < KG_SOON; i += 20) {
		if (poll_state_synchronize_rcu(cookie.plain) &&
		    poll_state_synchronize_rcu_full(&cookie.full))
			break;
		msleep(20);
	}
	kg_expect_over(test, &cookie);
}

/* A reader somewhere else, who tells when he has come and when he leaves. */
struct kg_reading {
	struct work_struct work;
	struct completion has_come;
	bool leaves;
};

static void kg_read(struct work_struct *work)
{
	struct kg_reading *reading = container_of(work, struct kg_reading, work);

	rcu_read_lock();
	complete(&reading->has_come);
	mdelay(KG_STAY);
	WRITE_ONCE(reading->leaves, true);
	rcu_read_unlock();
}

static void kg_expect_waits(struct kunit *test, bool full)
{
	struct kg_reading reading = {};
	struct kg_cookie cookie;

	INIT_WORK_ONSTACK(&reading.work, kg_read);
	init_completion(&reading.has_come);
	queue_work(system_unbound_wq, &reading.work);
	wait_for_completion(&reading.has_come);
	cookie = kg_now();
	if (full)
		cond_synchronize_rcu_full(&cookie.full);
	else
		cond_synchronize_rcu(cookie.plain);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(reading.leaves));
	flush_work(&reading.work);
	destroy_work_on_stack(&reading.work);
}

static void to_wait_for_a_cookie_is_to_wait_for_readers(struct kunit *test)
{
	kg_expect_waits(test, false);
	kg_expect_waits(test, true);
}

static struct kunit_case kg_rcu_cookie_cases[] = {
	KG_CASE("RCU-03", cookie_of_a_reader_is_not_over_while_he_reads),
	KG_CASE("RCU-03", cookie_of_a_reader_is_not_over_for_one_in_a_hurry),
	KG_CASE("RCU-03", cookie_is_over_after_a_grace_period),
	KG_CASE("RCU-03", what_is_over_stays_over),
	KG_CASE("RCU-03", earlier_cookie_is_over_first),
	KG_CASE("RCU-03", completed_cookie_is_over_at_any_time),
	KG_CASE("RCU-03", period_that_is_started_ends_by_itself),
	KG_CASE("RCU-03", to_wait_for_a_cookie_is_to_wait_for_readers),
	{}
};

static struct kunit_suite kg_rcu_cookie_suite = {
	.name = "rcu_cookie",
	.test_cases = kg_rcu_cookie_cases,
};

kunit_test_suite(kg_rcu_cookie_suite);

MODULE_DESCRIPTION("KUnit: notes of now, by which one knows that all readers of then have left");
MODULE_LICENSE("GPL");
