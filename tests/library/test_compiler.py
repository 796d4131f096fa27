# SPDX-License-Identifier: GPL-2.0-only
"""What make and gcc print, read."""

import pytest

from kernelgate import compiler

LOG = """\
  CC      mm/swap.o
  CC      mm/page_alloc.o
In file included from ../include/linux/mm.h:29,
                 from ../mm/page_alloc.c:19:
../include/linux/page_ref.h: In function 'page_ref_add':
../include/linux/page_ref.h:120:9: error: implicit declaration of function 'VM_BUG' [-Werror=implicit]
  120 |         VM_BUG(page);
      |         ^~~~~~
  CC      mm/slub.o
../mm/slub.c:17:13: warning: unused variable 'x' [-Wunused-variable]
   17 |         int x;
      |             ^
make[4]: *** [../scripts/Makefile.build:289: mm/page_alloc.o] Error 1
make[3]: *** [../scripts/Makefile.build:548: mm] Error 2
""".splitlines()


def test_errors_are_the_compilers_words_with_their_place() -> None:
    assert compiler.errors(LOG) == tuple(LOG[2:8])


def test_warnings_are_read_once_each() -> None:
    assert compiler.warnings([*LOG, *LOG]) == (LOG[9],)


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: modpost: vmlinux: section mismatch in reference: a (section: .text) -> b (section: .init.text)",
        "ld: warning: vmlinux has a LOAD segment with RWX permissions",
        "vmlinux.o: warning: objtool: f+0x12: return with modified stack frame",
    ],
)
def test_modpost_linker_and_objtool_warn_too(line: str) -> None:
    assert compiler.warnings([line]) == (line,)


@pytest.mark.parametrize(
    "line",
    [
        ".config:1309:warning: override: UNWINDER_GUESS changes choice state",
        "  CC      lib/warning.o",
        "ccflags-y += -Wno-warning",
    ],
)
def test_no_warning_is_read_where_none_is(line: str) -> None:
    assert compiler.warnings([line]) == ()


@pytest.mark.parametrize(
    "line",
    [
        "mm/page_alloc.o: in function `f': (.text+0x10): undefined reference to `freeze'",
        'ERROR: modpost: "freeze" [kg_page_ref.ko] undefined!',
        "make[2]: *** No rule to make target '../mm/gone.c', needed by 'mm/gone.o'.  Stop.",
        "aarch64-linux-gnu-ld: section .text LMA [0,1] overlaps section .data LMA [0,1]",
        "ld: mm/a.o:mm/a.c:3: multiple definition of `freeze'; mm/b.o:mm/b.c:3: first defined here",
        "../arch/x86/entry/entry.S:12: Error: no such instruction: `mvo %eax,%ebx'",
        "mm/Kconfig:12: syntax error",
    ],
)
def test_others_than_the_compiler_fail_too(line: str) -> None:
    assert compiler.errors(["  LD      vmlinux", line, "make: *** [Makefile:1: vmlinux] Error 1"]) == (line,)


def test_without_a_compilers_word_make_speaks() -> None:
    lines = ["  GEN     x", "make[1]: *** [Makefile:7: x] Error 3", "make: *** [Makefile:1: all] Error 2"]
    assert compiler.errors(lines) == tuple(lines[1:])


def test_at_most_a_screen_is_shown() -> None:
    many = [f"a.c:{n}:1: error: no" for n in range(1000)]
    assert compiler.errors(many) == tuple(many[: compiler.SHOWN_LINES])


@pytest.mark.parametrize(
    "line",
    [
        "fatal error: error writing to /tmp/x.s: No space left on device",
        "gcc: fatal error: Killed signal terminated program cc1",
        "elf.h:10:10: fatal error: gelf.h: No such file or directory",
    ],
)
def test_what_the_tree_is_not_to_blame_for(line: str) -> None:
    assert compiler.outside([*LOG, line]) == line
    assert compiler.outside(LOG) == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  CC      mm/swap.o", True),
        ("  CC [M]  kg_crash.o", True),
        ("  AS      arch/x86/entry/entry.o", True),
        ("  HOSTCC  scripts/basic/fixdep", True),
        ("  LD      vmlinux", False),
        ("  CALL    ../scripts/checksyscalls.sh", False),
        ("../mm/swap.c:1:1: error: CC mm/swap.o", False),
    ],
)
def test_objects_are_counted(line: str, expected: bool) -> None:
    assert compiler.is_object(line) is expected
