# SPDX-License-Identifier: GPL-2.0-only
"""Faults go where they are meant to, one is chosen at a time, and what a run says of one is read rightly."""

from pathlib import Path

import pytest

from kernelgate import catalogue, faults, kconfig
from kernelgate.command import run
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.faults import Fault, chosen, patch, read, write_series
from kernelgate.score import Row, matrix, read_junit, summary

ROOT = Path(__file__).parents[2]
PLANTED = read(ROOT / faults.FILE)
LISTS = [path for path in sorted((ROOT / faults.FILE).parent.glob("*.toml")) if "[[fault]]" in path.read_text()]

SMALL = """
series = "fixed"
base = "7.2"
[[fault]]
name = "adds_two"
kind = "wrong constant"
cases = ["REF-01"]
[[fault]]
name = "frees_twice"
kind = "missing check"
cases = ["RACE-02"]
arches = ["x86_64"]
[[site]]
file = "mm/a.c"
function = "get"
old = "return count + 1;"
new = "return count + 1 + KG_FAULT(adds_two);"
[[site]]
file = "mm/a.c"
function = "put"
old = "return count - 1;"
new = '''
if (KG_FAULT(frees_twice))
		put(count);
	return count - 1;'''
[[site]]
file = "mm/a.h"
old = "#include <linux/b.h>\\n"
new = '''
#include <linux/b.h>
extern int kg_fault;
'''
"""

A_C = """\
int get(int count)
{
	return count + 1;
}

int put(int count)
{
	/* not: return count + 1; */
	return count - 1;
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/mm").mkdir(parents=True)
    (tmp_path / "tree/mm/a.c").write_text(A_C)
    (tmp_path / "tree/mm/a.h").write_text("#include <linux/a.h>\n#include <linux/b.h>\n")
    return tmp_path / "tree"


def small(place: Path, text: str = SMALL) -> faults.Faults:
    path = place / "faults.toml"
    path.write_text(text)
    return read(path)


def test_the_patch_puts_every_fault_into_its_function(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "faults.patch").write_text(patch(tree, small(tmp_path)))
    run(["git", "apply", "../faults.patch"], cwd=tree)
    assert (tree / "mm/a.c").read_text() == (
        "int get(int count)\n{\n\treturn count + 1 + KG_FAULT(1);\n}\n\n"
        "int put(int count)\n{\n\t/* not: return count + 1; */\n"
        "\tif (KG_FAULT(2))\n\t\tput(count);\n\treturn count - 1;\n}\n"
    )
    assert "extern int kg_fault;\n#define KG_FAULT(n)\t" in (tree / "mm/a.h").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('function = "get"', 'function = "got"', "mm/a.c: got(): there is no such function"),
        ('old = "return count - 1;"', 'old = "return 0;"', "put(): the text of the fault stands there 0 times"),
        (
            'function = "get"\nold = "return',
            'function = ""\nold = "return',
            "mm/a.c: the text of the fault stands there 2",
        ),
    ],
)
def test_a_place_that_is_not_there_once_is_refused(tmp_path: Path, tree: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        patch(tree, small(tmp_path, SMALL.replace(old, new)))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("KG_FAULT(adds_two)", "KG_FAULT(adds_tow)", "the fault adds_two is in no site"),
        ("KG_FAULT(adds_two)", "KG_FAULT(adds_two) + KG_FAULT(more)", "unknown fault 'more'"),
        ('name = "frees_twice"', 'name = "adds_two"', "there are two faults adds_two"),
        ('kind = "missing check"\n', "", "KeyError: 'kind'"),
        ('series = "fixed"', "series =", "TOMLDecodeError"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        small(tmp_path, SMALL.replace(old, new))
    assert said in str(refused.value)


def test_the_series_with_faults_is_the_series_and_one_patch_more(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "series/fixed/7.2").mkdir(parents=True)
    (tmp_path / "series/fixed/series.toml").write_text("title = 't'\n")
    (tmp_path / "series/fixed/7.2/0001-a.patch").write_text("a")
    folder = tmp_path / "with-faults"
    for _ in range(2):  # a second time as well
        write_series(small(tmp_path), tree, tmp_path, folder)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file()) == [
        "7.2/0001-a.patch",
        "7.2/9999-faults.patch",
        "series.toml",
    ]


def test_faults_are_chosen_by_number_or_name(tmp_path: Path) -> None:
    known = small(tmp_path).faults
    assert chosen([], known) == known
    assert chosen(["2", "adds_two"], known) == (known[1], known[0])
    with pytest.raises(UserError, match="unknown fault 'adds_three': did you mean adds_two"):
        chosen(["adds_three"], known)
    with pytest.raises(UserError, match="unknown fault '3': choose from 1 to 2"):
        chosen(["3"], known)


def test_there_are_enough_faults_of_every_kind() -> None:
    """Issue 3, section 4: at least 40, two of which livelock, and these kinds among them."""
    assert len(PLANTED.faults) >= 40
    kinds = [fault.kind for fault in PLANTED.faults]
    assert kinds.count("livelock") == 2
    wanted = {
        "wrong constant", "lost negation", "missing conversion of one call site", "missing undo",
        "set instead of cmpxchg", "non-atomic update", "unfreeze that adds", "assertion never fires",
        "assertion fires wrongly", "wrong order of two stores", "wrong page of a compound page",
    }  # fmt: skip
    assert wanted <= set(kinds)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem.replace("_", " "))
def test_every_fault_is_made_to_be_noticed_by_cases_that_there_are(path: Path) -> None:
    """And that its file's folder of tests has."""
    entries, planted = catalogue.read(ROOT / catalogue.FILE), read(path)
    assert [fault.name for fault in planted.faults if not fault.cases or not set(fault.cases) <= set(entries)] == []
    assert (ROOT / planted.tests).is_dir()
    assert planted.config in kconfig.configurations(ROOT / "kconfigs")


def test_faults_of_a_file_that_is_not_there_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.toml: there is no such file: see .*tests/detection"):
        read(tmp_path / "no.toml")


def test_faults_name_the_tests_that_are_to_notice_them_and_their_kernel(tmp_path: Path) -> None:
    plain = small(tmp_path)
    assert (plain.tests, plain.config) == ("tests/frozen_bit", "debug_vm")
    other = small(tmp_path, SMALL.replace('base = "7.2"', 'base = "7.2"\ntests = "tests/other"\nconfig = "devices"'))
    assert (other.tests, other.config) == ("tests/other", "devices")


def item(name: str, case: str | None, outcome: str = "") -> str:
    """A test case of a JUnit file."""
    value = f'<properties><property name="case" value="{case}"/></properties>' if case is not None else ""
    return f'<testcase name="{name}">{value}{outcome}</testcase>'


DEAD_AT_BOOT = '<failure message="Failed: REF-03 crashed: x86_64-up does not boot: the guest died: Kernel panic"/>'

JUNIT = "\n".join(
    [
        "<testsuites><testsuite>",
        item("test_a[x86_64-smp2-REF-01-claim]", "REF-01"),
        item("test_a[arm64-lse-REF-01-claim]", "REF-01", "<failure/>"),
        item("test_a[x86_64-smp2-REF-02-claim]", "REF-02", "<skipped/>"),
        item("test_b[x86_64-smp2-D-07-claim]", None, "<error/>"),
        item("test_boot[x86_64-smp2]", ""),
        item("test_c[x86_64-smp2-INV-01-claim]", "INV-01"),
        item("test_c[x86_64-smp2-INV-01-other]", "INV-01", "<skipped/>"),
        item("test_d[x86_64-up-REF-03-claim]", "REF-03", DEAD_AT_BOOT),
        "</testsuite></testsuites>",
    ]
)


def test_a_run_is_read_case_by_case(tmp_path: Path) -> None:
    (tmp_path / "run.xml").write_text(JUNIT)
    assert read_junit(tmp_path / "run.xml") == {"REF-01": "X", "REF-02": "-", "D-07": "X", "boot": "X", "INV-01": "."}


@pytest.mark.parametrize("text", [None, "", JUNIT[:200]])
def test_a_run_without_a_whole_account_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.xml").write_text(text)
    with pytest.raises(InfrastructureError, match="left no account of itself"):
        read_junit(tmp_path / "run.xml")


ROWS = (
    Row(Fault(1, "adds_two", "wrong constant", ("REF-01",), ()), {"REF-01": "X", "REF-02": "."}, False, 3.0),
    Row(Fault(2, "frees_twice", "missing check", (), ()), {"REF-01": ".", "D-7": ".", "boot": "."}, True, 9.0),
    Row(Fault(3, "late", "missing undo", (), ()), {"D-7": "X"}, False, 9.0),
    Row(Fault(4, "dead", "livelock", (), ()), {"boot": "X"}, False, 9.0),
)


def test_the_matrix_has_a_line_a_fault_and_a_column_a_case_that_noticed_one() -> None:
    assert matrix(ROWS).splitlines() == [
        "                 R  ",
        "                 E  ",
        "                 F b",
        "               D - o",
        "               - 0 o",
        "               7 1 t",
        "1 adds_two       X",
        "2 frees_twice  . . .",
        "3 late         X",
        "4 dead             X",
    ]


def test_the_score_names_what_nothing_noticed() -> None:
    assert summary(ROWS, 61.2).splitlines() == [
        "3 of 4 faults noticed in 61 s, 1 of them by a boot",
        "  not noticed: 2 frees_twice (missing check)",
    ]


def test_nothing_tried_is_no_score() -> None:
    assert summary((), 1.0) == "0 of 0 faults noticed in 1 s, 0 of them by a boot"
