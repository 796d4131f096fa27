# SPDX-License-Identifier: GPL-2.0-only
"""The static rules S-01 to S-09: what must hold in the sources of a tree that has the series.

A rule returns its Findings, none where the tree keeps it. Where a rule is about what an
expression is (an argument, an operand, what comes after a call), coccinelle decides, on
those files only that name what it is about; where it is about which names stand where,
text does.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.c_source import Function, functions, line_of, reached, without_comments
from kernelgate.command import find, run
from kernelgate.errors import InfrastructureError, UserError
from kernelgate.variant import Assertions, Variant

HEADER = "include/linux/page_ref.h"
INTERNAL = "mm/internal.h"

COCCI = Path(__file__).resolve().parent / "cocci"
"""The semantic patches: they print "KIND FILE LINE" for what they match."""

SPATCH_SECONDS = 300.0
"""After so long spatch is given up; on a busy machine the slowest rule takes some 10 s."""

PORTED = ("7.2", "7.3")
"""The bases that the table of call sites was made for."""

OWN_ATOMICS = {
    "6.1": ("arch/s390/mm/pgalloc.c", "fs/ext4/inode.c", "fs/fuse/dax.c", "fs/xfs/xfs_file.c"),
    "6.12": ("fs/ext4/inode.c", "fs/fuse/dax.c", "fs/xfs/xfs_inode.c"),
}
"""Where old bases have atomics on _refcount of their own: s390 kept bits of page tables there, and file systems waited
for an idle page of fsdax, whose count was 1 before 6.15. What a series makes of frozen pages has to reach them too."""


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule; line 0 is the whole file."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


@dataclass(frozen=True)
class Site:
    """One place that the series has to convert: in FUNCTION of FILE nothing matches `raw` any more, and `to` does."""

    file: str
    function: str
    raw: re.Pattern[str]
    to: re.Pattern[str] | None
    bases: tuple[str, ...]

    @property
    def name(self) -> str:
        """ "fs/dax.c:dax_fault_iter" """
        return f"{self.file}:{self.function}"


@dataclass(frozen=True)
class Rule:
    """One rule: the variants of a tree to which it applies, the check, and whether it is about the assertions."""

    variants: frozenset[Variant]
    check: Callable[[Path], list[Finding]]
    of_assertions: bool = False


def silent(rule: Rule, variant: Variant, asserted: Assertions) -> str | None:
    """Why RULE says nothing about a tree of VARIANT that asserts like that, with the remedy; None where it does."""
    if rule.of_assertions and variant in rule.variants and asserted is Assertions.NONE:
        return "the series asserts nothing up to this patch: run with all of them"
    return _silent(variant, rule.variants)


def _silent(variant: Variant, variants: Container[Variant]) -> str | None:
    if variant in variants:
        return None
    wanted = "--series frozen-bit-v4" if Variant.ASSERTS in variants else "all patches of --series frozen-bit-v4"
    return f"the sources ({variant.value}) do not promise that: run with {wanted}"


def silent_site(site: Site, variant: Variant, version: str) -> str | None:
    """As silent(), for S-09 on SITE in a tree of VERSION."""
    base = ".".join(version.split(".")[:2])
    if base not in (site.bases or PORTED):
        return f"{base} has no such place, or none that is known: run with --base {(site.bases or PORTED)[0]}"
    return _silent(variant, _WITH)


def broken(name: str, tree: Path, variant: Variant, version: str) -> list[Finding]:
    """What breaks the rule NAME in TREE; S-04 lets a tree without the series have what its base has (OWN_ATOMICS)."""
    findings = RULES[name].check(tree)
    if name != "S-04" or variant is not Variant.UNPATCHED:
        return findings
    own = OWN_ATOMICS.get(".".join(version.split(".")[:2]), ())
    return [finding for finding in findings if finding.file not in own]


# S-01 to S-03: names that are gone.


def stray_set_page_count(tree: Path) -> list[Finding]:
    """S-01: calls of set_page_count() outside page_ref.h."""
    what = "set_page_count() says neither init nor frozen"
    return _named(tree, "set_page_count", re.compile(r"\bset_page_count\s*\("), what, {HEADER})


def folio_set_count(tree: Path) -> list[Finding]:
    """S-02: folio_set_count() anywhere."""
    what = "folio_set_count() is no longer there to be called"
    return _named(tree, "folio_set_count", re.compile(r"\bfolio_set_count\s*\("), what, set())


def unless_zero(tree: Path) -> list[Finding]:
    """S-03: page_ref_add_unless_zero() and its relatives; get_page_unless_zero() keeps its name."""
    pattern = re.compile(r"\b(?:page|folio)_ref_\w*unless_zero\s*\(")
    return _named(tree, "unless_zero", pattern, "frozen is not zero: the name must not say so", set())


def _named(tree: Path, word: str, pattern: re.Pattern[str], what: str, allowed: set[str]) -> list[Finding]:
    findings = []
    for file in _files(tree, (word,)):
        if file in allowed:
            continue
        code = without_comments(_text(tree, file))
        findings += [Finding(file, _line(code, match.start()), what) for match in pattern.finditer(code)]
    return findings


# S-04 to S-06: what an expression is.


def raw_atomics(tree: Path) -> list[Finding]:
    """S-04: atomic operations on _refcount outside page_ref.h."""
    named = _files(tree, ("->_refcount", "._refcount"))
    files = [file for file in named if file != HEADER and _names_refcount(tree, file)]
    return [
        Finding(file, line, "an atomic operation on _refcount, outside page_ref.h")
        for _kind, file, line in _spatch(tree, "raw_atomics", files)
    ]


def _names_refcount(tree: Path, file: str) -> bool:
    return re.search(r"(?:->|\.)\s*_refcount\b", without_comments(_text(tree, file))) is not None


_COUNTERS = r"\b(?:page_ref_count|folio_ref_count|page_count)\s*\("
_NEAR_NEGATIVE = re.compile(
    rf"{_COUNTERS}[^;]{{0,200}}?(?:<\s*0\b|<=\s*-)|\b0\s*>[^;=]{{0,200}}?{_COUNTERS}"
    rf"|\b(\w+)\s*=\s*{_COUNTERS}(?s:.){{0,2000}}?\b\1\s*<\s*0\b"
)
"""Files without this are not worth coccinelle's time; whether it is such a comparison, coccinelle says."""


def negative_counts(tree: Path) -> list[Finding]:
    """S-05: comparisons of a count with less than zero, which a frozen page's count never is."""
    named = _files(tree, ("page_ref_count", "folio_ref_count", "page_count"))
    files = [file for file in named if _NEAR_NEGATIVE.search(without_comments(_text(tree, file)))]
    return [
        Finding(file, line, "asks for a count below 0: never true since frozen pages count 0")
        for _kind, file, line in _spatch(tree, "negative_counts", files)
    ]


def tails_not_frozen(tree: Path) -> list[Finding]:
    """S-06: tail pages made of memory of one's own that nobody freezes."""
    files = _files(tree, ("init_compound_tail", "prep_compound_tail"))
    found = _spatch(tree, "compound_tails", files)
    frozen = {(file, line) for kind, file, line in found if kind == "frozen"}
    makes = {(kind, file, line) for kind, file, line in found if kind != "frozen" and (file, line) not in frozen}
    if not any(kind != "frozen" for kind, _file, _line in found):
        return [Finding(INTERNAL, 0, "nobody makes a tail page any more: this rule looks for something else")]
    if _init_compound_tail_freezes(tree):
        makes = {make for make in makes if make[0] != "init_compound_tail"}
    return [
        Finding(file, line, f"{kind}() on memory of its own, and the tail is not frozen")
        for kind, file, line in sorted(makes, key=lambda make: make[1:])
    ]


def _init_compound_tail_freezes(tree: Path) -> bool:
    known = functions(_text(tree, INTERNAL))
    calls = {call for each in reached("init_compound_tail", known) for call in each.calls}
    return not calls.isdisjoint(("set_page_count_frozen", "__set_page_count_frozen"))


# S-07 and S-08: page_ref.h itself.

_CHANGER = re.compile(r"(?:page|folio)_ref_(?:add|sub|inc|dec)(?:_return|_and_test)?")
"""Functions that change a count on the strength of a reference that their caller holds."""
_ATOMIC_WRITE = re.compile(r"\batomic_(?!read)\w+\s*\(")
_ASSERTION = re.compile(r"\bVM_(?:BUG|WARN)_ON\w*\s*\(")
_MAY_ASSERT = {"page_ref_unfreeze", "folio_ref_unfreeze"}
"""These demand that a page is frozen."""


def assertions_not_where_they_belong(tree: Path) -> list[Finding]:
    """S-07: each function that changes a count on the strength of a reference asserts, and no other one does.

    A wrapper asserts through the one that it calls; what a function has from a helper, whose
    name begins with "__", counts as its own.
    """
    known = functions(_text(tree, HEADER))
    public = [name for name in known if not name.startswith("__")]
    changers = {name for name in public if _CHANGER.fullmatch(name) and _has(_ATOMIC_WRITE, name, known)}
    asserting = {name for name in public if _has(_ASSERTION, name, known)}
    if not changers:
        return [Finding(HEADER, 0, "no function changes a count: this rule looks for something else")]
    lost = dict.fromkeys(changers - asserting, "changes a count, and asserts nothing")
    odd = dict.fromkeys(asserting - changers - _MAY_ASSERT, "may be called for a frozen page, and asserts")
    return [Finding(HEADER, known[name].line, f"{name}() {what}") for name, what in sorted((lost | odd).items())]


def _has(pattern: re.Pattern[str], name: str, known: dict[str, Function]) -> bool:
    """Whether the function NAME, or a helper that it reaches, matches PATTERN."""
    helpers = {each: known[each] for each in known if each.startswith("__") or each == name}
    return any(pattern.search(function.body) for function in reached(name, helpers))


_RELAXED = re.compile(r"\b(?:atomic_\w*cmpxchg|atomic_xchg|cmpxchg|xchg|try_cmpxchg)_relaxed\s*\(")
_EXCHANGE = re.compile(r"\b\w*xchg\w*\s*\(")


def relaxed_exchanges(tree: Path) -> list[Finding]:
    """S-08: exchanges without acquire semantics in the *_and_test() functions of page_ref.h."""
    known = functions(_text(tree, HEADER))
    used: dict[str, Function] = {}
    for name in known:
        if name.endswith("_and_test") and not name.startswith("__page_ref_mod"):
            used |= {each.name: each for each in reached(name, known)}
    if not any(_EXCHANGE.search(each.body) for each in used.values()):
        return [Finding(HEADER, 0, "no *_and_test() exchanges the count: this rule looks for something else")]
    return [
        Finding(HEADER, line_of(each, match.start()), f"{each.name}(): who frees must see what former owners wrote")
        for each in used.values()
        for match in _RELAXED.finditer(each.body)
    ]


# S-09: the table of call sites.

_INIT = re.compile(r"\b(?:init_page_count|folio_init_count)\s*\(")
_FROZEN = re.compile(r"\bset_page_count_frozen\s*\(")
_TO = {"init": _INIT, "frozen": _FROZEN, "owned": None}


def sites(path: Path) -> tuple[Site, ...]:
    """The call sites listed in the file PATH. Raises UserError naming the entry that is wrong."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["site"]
    found = []
    for number, entry in enumerate(entries, 1):
        if set(entry) - {"bases"} != {"file", "function", "raw", "to"} or entry["to"] not in _TO:
            raise UserError(
                f"{path}: site {number}: wants file, function, raw, to ({', '.join(_TO)}), and may have bases"
            )
        raw = re.compile(rf"\b{entry['raw']}\s*\(")
        found.append(Site(entry["file"], entry["function"], raw, _TO[entry["to"]], tuple(entry.get("bases", ()))))
    return tuple(found)


def unconverted(tree: Path, site: Site) -> list[Finding]:
    """S-09: what is wrong with SITE in TREE."""
    if not (tree / site.file).is_file():
        return [Finding(site.file, 0, "there is no such file: the table of call sites is of another base")]
    known = functions(_text(tree, site.file))
    if site.function not in known:
        return [Finding(site.file, 0, f"no function {site.function}(): the table of call sites is of another base")]
    function = known[site.function]
    findings = [
        Finding(site.file, line_of(function, match.start()), f"{site.function}(): {match[0]}...) on a frozen count")
        for match in site.raw.finditer(function.body)
    ]
    if not findings and site.to and not site.to.search(function.body):
        findings.append(Finding(site.file, function.line, f"{site.function}(): nothing stores the count any more"))
    return findings


_WITH = frozenset({Variant.ASSERTS, Variant.FROZEN_BIT})
_BIT = frozenset({Variant.FROZEN_BIT})

RULES = {
    "S-01": Rule(_WITH, stray_set_page_count),
    "S-02": Rule(_WITH, folio_set_count),
    "S-03": Rule(_WITH, unless_zero),
    "S-04": Rule(frozenset(Variant), raw_atomics),
    "S-05": Rule(_BIT, negative_counts),
    "S-06": Rule(_BIT, tails_not_frozen),
    "S-07": Rule(_WITH, assertions_not_where_they_belong, of_assertions=True),
    "S-08": Rule(_BIT, relaxed_exchanges),
}
"""The rules that are one check of the whole tree; S-09 is one a site."""


# Files and coccinelle.


def _text(tree: Path, file: str) -> str:
    return (tree / file).read_text(encoding="utf-8", errors="replace")


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


WORDS = (
    "set_page_count", "folio_set_count", "unless_zero", "->_refcount", "._refcount", "page_ref_count",
    "folio_ref_count", "page_count", "init_compound_tail", "prep_compound_tail",
)  # fmt: skip
"""What the rules look for: all of a tree is read for them once."""


def _files(tree: Path, words: Sequence[str]) -> list[str]:
    """The C files of TREE that have one of WORDS, some of those above, by paths relative to it."""
    return [file for file in _candidates(tree) if any(word in _text(tree, file) for word in words)]


@functools.cache
def _candidates(tree: Path) -> tuple[str, ...]:
    """The C files of TREE that have any of WORDS."""
    argv = ["git", "grep", "--no-index", "-l", "-F", *(part for word in WORDS for part in ("-e", word)), "--"]
    result = run([*argv, "*.c", "*.h"], cwd=tree, check=False)
    if result.status not in (0, 1):
        raise InfrastructureError(f"{tree}: git grep: {result.stderr.strip()}")
    return tuple(sorted(file for file in result.stdout.splitlines() if not file.startswith("tools/")))


def _spatch(tree: Path, name: str, files: Sequence[str]) -> list[tuple[str, str, int]]:
    """What the semantic patch NAME finds in FILES, as (kind, file, line).

    Raises InfrastructureError when spatch is missing or cannot do its work.
    """
    spatch = find("spatch", "coccinelle")
    if not files:
        return []
    argv = [spatch, "--very-quiet", "--no-includes", "--sp-file", str(COCCI / f"{name}.cocci"), *files]
    result = run(argv, cwd=tree, timeout=SPATCH_SECONDS, check=False)
    if result.status or "EXN:" in result.stderr:
        raise InfrastructureError(f"spatch {name}: {(result.stderr or result.stdout).strip()[-500:]}")
    found = re.findall(r"^(\w+) (\S+) (\d+)$", result.stdout, re.MULTILINE)
    return [(kind, file, int(line)) for kind, file, line in found]
