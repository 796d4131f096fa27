# SPDX-License-Identifier: GPL-2.0-only
"""Each static rule finds what breaks it, at its line, and nothing in what keeps it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from kernelgate import static_rules
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.static_rules import HEADER, RULES, Site, broken, silent, silent_site, sites, unconverted
from kernelgate.variant import Assertions, Variant

ROOT = Path(__file__).parents[2]
SITES = ROOT / "tests/frozen_bit/call_sites.toml"

PAGE_REF_H = """\
static inline bool __page_is_frozen(const struct page *page)
{
	return atomic_read(&page->_refcount) < 0;
}
static inline void set_page_count(struct page *page, int v)
{
	atomic_set(&page->_refcount, v);
}
static inline void page_ref_inc(struct page *page)
{
	VM_BUG_ON_PAGE(__page_is_frozen(page), page);
	atomic_inc(&page->_refcount);
}
static inline void folio_ref_inc(struct folio *folio)
{
	page_ref_inc(&folio->page);
}
static inline bool __page_ref_freeze_unreferenced(struct page *page)
{
	return atomic_cmpxchg_acquire(&page->_refcount, 0, PAGEREF_FROZEN_BIT) == 0;
}
static inline void __page_ref_check(struct page *page)
{
	VM_WARN_ON_ONCE_PAGE(__page_is_frozen(page), page);
}
static inline int page_ref_dec_and_test(struct page *page)
{
	int ret;

	__page_ref_check(page);
	ret = atomic_dec_and_test(&page->_refcount);
	if (ret)
		ret = __page_ref_freeze_unreferenced(page);
	return ret;
}
static inline bool page_ref_add_unless_frozen(struct page *page, int nr)
{
	return atomic_add_unless(&page->_refcount, nr, 0);
}
static inline void page_ref_unfreeze(struct page *page, int count)
{
	VM_BUG_ON_PAGE(!__page_is_frozen(page), page);
	atomic_set_release(&page->_refcount, count);
}
"""

TAILS = """\
static void optimise(struct page *p, struct zone *zone)
{
	for (int i = 0; i < 64; i++)
		init_compound_tail(p + i, NULL, 9, zone);
}
"""

FROZEN_TAILS = """\
static void optimise(struct page *p, struct zone *zone)
{
	for (int i = 0; i < 64; i++) {
		init_compound_tail(p + i, NULL, 9, zone);
		set_page_count_frozen(p + i);
	}
}
static void make(struct page *page, struct page *head)
{
	__init_single_page(page, 0, 0, 0);
	prep_compound_tail(page, head, 9);
	set_page_count_frozen(page);
}
static void of_pages_that_are_there(struct page *page)
{
	prep_compound_tail(page + 1, page, 9);
}
"""

INTERNAL_H = """\
static inline void init_compound_tail(struct page *tail, const struct page *head, unsigned int order)
{
	prep_compound_tail(tail, head, order);
}
"""


def tree(place: Path, files: Mapping[str, str] | None = None) -> Path:
    """A kernel tree with these FILES."""
    for name, text in {HEADER: PAGE_REF_H, "mm/internal.h": INTERNAL_H, **(files or {})}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def found(rule: str, place: Path) -> list[str]:
    return [f"{finding.file}:{finding.line}" for finding in RULES[rule].check(place)]


BROKEN = {
    "S-01": ("mm/a.c", "/* set_page_count() */\nvoid f(void)\n{\n\tset_page_count(page, 0);\n}\n", 4),
    "S-02": ("lib/a.c", "void f(void)\n{\n\tfolio_set_count(folio, 1);\n}\n", 3),
    "S-03": ("mm/a.c", "bool f(void)\n{\n\treturn folio_ref_add_unless_zero(folio, 1);\n}\n", 3),
    "S-04": ("mm/a.c", "void f(struct page *page)\n{\n\tatomic_inc(&page->_refcount);\n}\n", 3),
    "S-05": ("mm/a.c", "void f(void)\n{\n\tif (WARN_ON_ONCE(folio_ref_count(folio) < 0))\n\t\treturn;\n}\n", 3),
    "S-06": ("mm/a.c", TAILS, 4),
}
"""For each rule one file that breaks it, and the line."""

KEPT = {
    "S-01": 'void f(void)\n{\n\tset_page_count_frozen(page);\n\tpr_info("set_page_count()");\n}\n',
    "S-02": "/* folio_set_count() is gone */\nvoid f(void)\n{\n\tfolio_init_count(folio);\n}\n",
    "S-03": "bool f(void)\n{\n\treturn get_page_unless_zero(page) && kref_get_unless_zero(kref);\n}\n",
    "S-04": "void f(struct page *page)\n{\n\tatomic_inc(&page->_mapcount);\n\tprefetchw(&page->_refcount);\n}\n",
    "S-05": "int f(int i)\n{\n\treturn page_count(page) <= 0 || folio_ref_count(folio) < 2 || i < 0;\n}\n",
    "S-06": FROZEN_TAILS,
}
"""And one that looks like it, and keeps it."""


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_names_file_and_line(tmp_path: Path, rule: str) -> None:
    name, text, line = BROKEN[rule]
    assert found(rule, tree(tmp_path, {name: text})) == [f"{name}:{line}"]


@pytest.mark.parametrize("rule", KEPT)
def test_a_rule_that_is_kept_finds_nothing(tmp_path: Path, rule: str) -> None:
    assert found(rule, tree(tmp_path, {"mm/a.c": KEPT[rule]})) == []


@pytest.mark.parametrize(
    "line",
    [
        "return 0 > page_count(page);",
        "return page_ref_count(page) <= -1;",
        "if (page_ref_count(&folio->page) < 0 && other) return 1;",
    ],
)
def test_a_negative_count_is_seen_in_each_of_its_forms(tmp_path: Path, line: str) -> None:
    assert found("S-05", tree(tmp_path, {"mm/a.c": f"int f(struct page *page)\n{{\n\t{line}\n}}\n"})) == ["mm/a.c:3"]


def test_a_negative_count_is_seen_by_way_of_a_variable(tmp_path: Path) -> None:
    text = "int f(void)\n{\n\tint refs;\n\n\trefs = page_count(page);\n\tif (refs < 0)\n\t\tg();\n\treturn 0;\n}\n"
    assert found("S-05", tree(tmp_path, {"mm/a.c": text})) == ["mm/a.c:6"]


@pytest.mark.parametrize(
    "call", ["atomic_set(&folio->_refcount, 0);", "x = atomic_read(&page->_refcount);", "page->_refcount.counter = 0;"]
)
def test_an_atomic_is_seen_in_each_of_its_forms(tmp_path: Path, call: str) -> None:
    place = tree(tmp_path, {"mm/a.c": f"int f(struct page *page)\n{{\n\tint x;\n\t{call}\n\treturn x;\n}}\n"})
    assert found("S-04", place) == ["mm/a.c:4"]


@pytest.mark.parametrize(
    ("variant", "version", "expected"),
    [
        (Variant.UNPATCHED, "6.1.192-2", ["mm/a.c"]),
        (Variant.UNPATCHED, "6.12.117-1", ["arch/s390/mm/pgalloc.c", "mm/a.c"]),
        (Variant.FROZEN_BIT, "6.1.192-2", ["arch/s390/mm/pgalloc.c", "mm/a.c"]),
    ],
    ids=["a base", "a later base", "a base with the series"],  # a variant's name would be selected by -k
)
def test_what_a_base_has_of_its_own_is_no_fault_without_the_series(
    tmp_path: Path, variant: Variant, version: str, expected: list[str]
) -> None:
    text = "void f(struct page *page)\n{\n\tatomic_inc(&page->_refcount);\n}\n"
    place = tree(tmp_path, {"mm/a.c": text, "arch/s390/mm/pgalloc.c": text})
    assert sorted(finding.file for finding in broken("S-04", place, variant, version)) == expected


@pytest.mark.parametrize("how", ["set_page_count_frozen", "__set_page_count_frozen"])
def test_init_compound_tail_may_freeze_for_its_callers(tmp_path: Path, how: str) -> None:
    internal = INTERNAL_H.replace("\tprep", f"\t{how}(tail);\n\tprep")
    assert found("S-06", tree(tmp_path, {"mm/a.c": TAILS, "mm/internal.h": internal})) == []


def test_a_tail_of_fresh_memory_has_to_be_frozen(tmp_path: Path) -> None:
    assert found("S-06", tree(tmp_path, {"mm/a.c": FROZEN_TAILS.replace("\tset_page_count_frozen(page);\n", "")})) == [
        "mm/a.c:11"
    ]


def test_a_rule_that_finds_nothing_to_look_at_says_so(tmp_path: Path) -> None:
    place = tree(tmp_path, {HEADER: "static inline void f(void)\n{\n}\n"})
    for rule in ("S-06", "S-07", "S-08"):
        assert [finding.what.partition(": ")[2] for finding in RULES[rule].check(place)] == [
            "this rule looks for something else"
        ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "\tVM_BUG_ON_PAGE(__page_is_frozen(page), page);\n\tatomic_inc",
            "\tatomic_inc",
            "page_ref_inc() changes a count, and asserts nothing",
        ),
        (
            "\tatomic_set(",
            "\tVM_WARN_ON_ONCE(v < 0);\n\tatomic_set(",
            "set_page_count() may be called for a frozen page",
        ),
        ("\t__page_ref_check(page);\n", "", "page_ref_dec_and_test() changes"),
        (
            "\treturn atomic_add_unless",
            "\t__page_ref_check(page);\n\treturn atomic_add_unless",
            "_unless_frozen() may be called for a frozen page",
        ),
    ],
)
def test_assertions_are_where_they_belong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert found("S-07", tree(tmp_path)) == []
    place = tree(tmp_path, {HEADER: PAGE_REF_H.replace(old, new, 1)})
    assert [said in str(finding) for finding in RULES["S-07"].check(place)] == [True]


@pytest.mark.parametrize("how", ["atomic_cmpxchg_relaxed(", "atomic_try_cmpxchg_relaxed("])
def test_the_exchange_of_the_last_put_acquires(tmp_path: Path, how: str) -> None:
    assert found("S-08", tree(tmp_path)) == []
    text = PAGE_REF_H.replace("atomic_cmpxchg_acquire(", how)
    place = tree(tmp_path, {HEADER: text})
    assert found("S-08", place) == ["include/linux/page_ref.h:20"]


DAX = "static int dax_fault_iter(void)\n{\n\tfolio_ref_inc(folio);\n\treturn 0;\n}\n"
SITE = Site("fs/dax.c", "dax_fault_iter", static_rules.re.compile(r"\bfolio_ref_inc\s*\("), None, ())


def test_a_site_that_was_not_converted_is_named(tmp_path: Path) -> None:
    findings = unconverted(tree(tmp_path, {"fs/dax.c": DAX}), SITE)
    assert [str(finding) for finding in findings] == [
        "fs/dax.c:3: dax_fault_iter(): folio_ref_inc(...) on a frozen count"
    ]


def test_a_site_that_was_converted_is_in_order(tmp_path: Path) -> None:
    assert unconverted(tree(tmp_path, {"fs/dax.c": DAX.replace("folio_ref_inc", "folio_get_or_init")}), SITE) == []


def test_a_site_that_stores_nothing_any_more_is_no_conversion(tmp_path: Path) -> None:
    site = sites(SITES)[0]
    text = f"void {site.function}(void)\n{{\n\treturn;\n}}\n"
    (tmp_path / site.file).parent.mkdir(parents=True)
    (tmp_path / site.file).write_text(text)
    assert ["nothing stores the count any more" in str(finding) for finding in unconverted(tmp_path, site)] == [True]


@pytest.mark.parametrize("text", [None, "int other(void)\n{\n}\n"])
def test_a_site_that_is_not_there_is_no_pass(tmp_path: Path, text: str | None) -> None:
    place = tree(tmp_path, {"fs/dax.c": text} if text else {})
    assert ["the table of call sites is of another base" in str(each) for each in unconverted(place, SITE)] == [True]


def test_the_table_of_call_sites_is_whole() -> None:
    """KERNEL-NOTES B.1 and B.4: 13 functions that store a count, one of them in 7.3 alone, and 7 that raise one."""
    table = sites(SITES)
    assert len({site.name for site in table}) == len(table) == 20
    assert [site.name for site in table if site.bases] == ["mm/page_alloc.c:free_reserved_pages"]


def test_a_wrong_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text('[[site]]\nfile = "a.c"\nfunction = "f"\nraw = "g"\nto = "frosen"\n')
    with pytest.raises(UserError, match="site 1: wants file, function, raw, to"):
        sites(tmp_path / "sites.toml")


def test_rules_are_silent_where_nothing_is_promised() -> None:
    assert silent(RULES["S-04"], Variant.UNPATCHED, Assertions.NONE) is None
    assert silent(RULES["S-05"], Variant.FROZEN_BIT, Assertions.BUG) is None
    for rule, wanted in (("S-01", "--series frozen-bit-v4"), ("S-05", "all patches of --series")):
        assert wanted in str(silent(RULES[rule], Variant.UNPATCHED, Assertions.NONE))
    assert "all patches" in str(silent(RULES["S-08"], Variant.ASSERTS, Assertions.BUG))


def test_the_rule_of_assertions_is_silent_where_the_series_has_none_yet() -> None:
    assert "run with all of them" in str(silent(RULES["S-07"], Variant.FROZEN_BIT, Assertions.NONE))
    assert silent(RULES["S-07"], Variant.FROZEN_BIT, Assertions.WARN) is None
    assert "--series frozen-bit-v4" in str(silent(RULES["S-07"], Variant.UNPATCHED, Assertions.NONE))


def test_a_site_of_another_base_names_that_base() -> None:
    site = next(site for site in sites(SITES) if site.bases)
    assert "run with --base 7.3" in str(silent_site(site, Variant.FROZEN_BIT, "7.2.13-1"))
    assert silent_site(site, Variant.FROZEN_BIT, "7.3.4-1~bpo13+1") is None
    assert "7.2" in str(silent_site(SITE, Variant.FROZEN_BIT, "6.12.107-1"))


def test_missing_spatch_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tree(tmp_path, {"mm/a.c": BROKEN["S-04"][1]})
    git = Path(static_rules.find("git", "git"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(git)
    setpriv = Path(static_rules.find("setpriv", "util-linux"))
    (tmp_path / "bin/setpriv").symlink_to(setpriv)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(InfrastructureError, match="spatch is not installed: apt install coccinelle"):
        RULES["S-04"].check(place)


def test_spatch_that_fails_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cocci").mkdir()
    (tmp_path / "cocci/raw_atomics.cocci").write_text("@ this is no rule\n")
    monkeypatch.setattr(static_rules, "COCCI", tmp_path / "cocci")
    with pytest.raises(InfrastructureError, match="spatch raw_atomics: "):
        RULES["S-04"].check(tree(tmp_path, {"mm/a.c": BROKEN["S-04"][1]}))
