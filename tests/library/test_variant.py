# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from kernelgate.errors import UserError
from kernelgate.variant import Assertions, Variant, assertions, detect

UNPATCHED = """
static inline bool page_ref_add_unless_zero(struct page *page, int nr)
{
	bool ret = atomic_add_unless(&page->_refcount, nr, 0);
	return ret;
}
"""
ASSERTS = """
static inline bool page_ref_add_unless_frozen(struct page *page, int nr)
{
	return atomic_add_unless(&page->_refcount, nr, 0);
}
"""
FROZEN_BIT = "#define PAGEREF_FROZEN_BIT\tBIT(31)\n"


def tree(folder: Path, page_ref: str, page_flags: str = "") -> Path:
    headers = folder / "include/linux"
    headers.mkdir(parents=True)
    (headers / "page_ref.h").write_text(page_ref)
    (headers / "page-flags.h").write_text(page_flags)
    return folder


def test_unpatched(tmp_path: Path) -> None:
    assert detect(tree(tmp_path, UNPATCHED)) is Variant.UNPATCHED


def test_asserts(tmp_path: Path) -> None:
    assert detect(tree(tmp_path, ASSERTS)) is Variant.ASSERTS


@pytest.mark.parametrize("header", ["page_ref", "page_flags"])
def test_bit_in_either_header(tmp_path: Path, header: str) -> None:
    page_ref, page_flags = (ASSERTS + FROZEN_BIT, "") if header == "page_ref" else (ASSERTS, FROZEN_BIT)
    assert detect(tree(tmp_path, page_ref, page_flags)) is Variant.FROZEN_BIT


@pytest.mark.parametrize(
    "definition",
    [
        "# define PAGEREF_FROZEN_BIT 0x80000000U",
        "\t#define  PAGEREF_FROZEN_BIT\\\n\t(1U << 31)",
        "enum {\n\tPAGEREF_FROZEN_BIT = 1U << 31,\n};",
        "static const unsigned int PAGEREF_FROZEN_BIT = 1U << 31;",
    ],
    ids=["spaced macro", "macro on two lines", "enumerator", "constant"],
)
def test_bit_however_it_is_defined(tmp_path: Path, definition: str) -> None:
    assert detect(tree(tmp_path, ASSERTS + definition + "\n")) is Variant.FROZEN_BIT


@pytest.mark.parametrize(
    "layout",
    [
        "static __always_inline bool\npage_ref_add_unless_frozen(struct page *page,\n\t\t\t   int nr)\n{\n}\n",
        "static inline bool page_ref_add_unless_frozen (struct page *p, int nr) { return true; }\n",
    ],
)
def test_asserts_however_it_is_laid_out(tmp_path: Path, layout: str) -> None:
    assert detect(tree(tmp_path, layout)) is Variant.ASSERTS


@pytest.mark.parametrize(
    "mention",
    [
        "/* one day page_ref_add_unless_frozen(page, 1) {...} and\n#define PAGEREF_FROZEN_BIT BIT(31)\n */\n",
        "// #define PAGEREF_FROZEN_BIT BIT(31)\n",
        "#define PAGEREF_FROZEN_BITS_UNRELATED 3\n",
    ],
    ids=["in a block comment", "in a line comment", "in a longer name"],
)
def test_a_mention_is_not_a_definition(tmp_path: Path, mention: str) -> None:
    assert detect(tree(tmp_path, UNPATCHED + mention)) is Variant.UNPATCHED


def test_no_kernel_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"page_ref\.h does not exist"):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("VM_BUG_ON_PAGE(__page_is_frozen(page), page);", Assertions.BUG),
        ("VM_BUG_ON_FOLIO(__page_count_is_frozen(ret + nr), folio);", Assertions.BUG),
        ("VM_BUG_ON(__page_count_is_frozen(ret + nr));", Assertions.BUG),
        ("VM_WARN_ON_ONCE_PAGE(!__page_count_may_sub(ret + 1, 1), page);", Assertions.WARN),
        ("VM_WARN_ON_ONCE_FOLIO(\n\t__page_is_frozen(page), page);", Assertions.WARN),
        ("VM_BUG_ON_PAGE(page_count(page) != 0, page);\nVM_BUG_ON(count == 0);", Assertions.NONE),
        ("/* VM_BUG_ON_PAGE(__page_is_frozen(page), page); */", Assertions.NONE),
        ("return __page_is_frozen(page);", Assertions.NONE),
    ],
)
def test_what_a_header_asserts(tmp_path: Path, line: str, form: Assertions) -> None:
    assert assertions(tree(tmp_path, f"{ASSERTS}{line}\n")) is form


def test_assertions_of_no_kernel_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: name the top folder of a kernel tree"):
        assertions(tmp_path)
