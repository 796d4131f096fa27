# SPDX-License-Identifier: GPL-2.0-only
"""Functions of kernel C are told apart by the kernel's coding style."""

from kernelgate.c_source import functions, line_of, reached, without_comments

SOURCE = """\
/* page_ref_inc(page); is only spoken of here */
#ifdef CONFIG_A
static inline void hook(void)
{
}
#else
static inline void hook(void)
{
	trace("hook() {");
}
#endif

struct ops {
	int (*call)(int);
};

static struct page *get_tail(unsigned int order,
		struct zone *zone)
{
	if (order) {
		first(order);	// second(order);
	}
	return helper(zone);
}

struct page *helper(struct zone *zone) {
	hook();
	return NULL;
}
"""


def test_comments_and_texts_are_blanked_line_by_line() -> None:
    assert without_comments('a /* b\nc */ d("e(f)"); // g\nh') == "a     \n     d(      );     \nh"


def test_functions_have_their_bodies_lines_and_calls() -> None:
    found = functions(SOURCE)
    assert sorted(found) == ["get_tail", "helper", "hook"]
    assert found["get_tail"].calls == {"if", "first", "helper"}
    assert found["get_tail"].line == 19
    assert line_of(found["get_tail"], found["get_tail"].body.index("return")) == 23


def test_of_two_definitions_the_one_that_does_something_counts() -> None:
    assert functions(SOURCE)["hook"].calls == {"trace"}


def test_what_a_function_reaches_includes_its_helpers_helpers() -> None:
    assert {each.name for each in reached("get_tail", functions(SOURCE))} == {"get_tail", "helper", "hook"}
