# SPDX-License-Identifier: GPL-2.0-only
"""Read KTAP (Documentation/dev-tools/ktap.rst) amid other lines of the kernel log.

Pessimistic: what is missing, misnumbered or contradicts itself is an error, and a report
with an error is never ok. A lost line must not turn into a pass (promise 1 of the README).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Status(Enum):
    """What became of one test; CRASHED began and has no result line, MISSING was only planned."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    MISSING = "missing"


@dataclass(frozen=True)
class Result:
    """One test; a suite has its cases as children, a parameterised case its parameters.

    `number` is that of its result line, or of its place in the plan; `reason` stands after the
    directive (why it was skipped); `diagnostics` are the lines that it wrote of itself.
    """

    name: str
    status: Status
    number: int
    reason: str = ""
    diagnostics: tuple[str, ...] = ()
    children: tuple[Result, ...] = ()

    def leaves(self) -> Iterator[Result]:
        """The tests below this one that have none below them, or this one."""
        for child in self.children:
            yield from child.leaves()
        if not self.children:
            yield self


@dataclass(frozen=True)
class Report:
    """All tests of one log, and what is wrong with the log as a protocol."""

    results: tuple[Result, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether something passed, nothing failed, and the report can be believed."""
        found = {leaf.status for leaf in self.leaves()}
        whole = all(result.status in _GOOD for result in self.results)
        return not self.errors and whole and Status.PASSED in found and found <= _GOOD

    def leaves(self) -> Iterator[Result]:
        """The single tests."""
        for result in self.results:
            yield from result.leaves()

    def find(self, *path: str) -> Result | None:
        """The result at PATH, e.g. find("suite", "case"); None when there is no such, or more than one."""
        found = self.results
        for name in path[:-1]:
            found = tuple(child for result in found if result.name == name for child in result.children)
        named = [result for result in found if result.name == path[-1]]
        return named[0] if len(named) == 1 else None


_GOOD = frozenset({Status.PASSED, Status.SKIPPED})

_VERSION = re.compile(r"^(\s*)K?TAP version \d+\s*$")
_PLAN = re.compile(r"^(\s*)1\.\.(\d+)(?:\s+#\s*SKIP\b\s*(.*))?\s*$", re.IGNORECASE)
_SUBTEST = re.compile(r"^(\s*)# Subtest: (.*?)\s*$")
_RESULT = re.compile(r"^(\s*)(ok|not ok) (\d+)(?: (?:- )?([^#]*?))?(?:\s*(?<!\S)#\s*(\w*)(.*))?\s*$")
_STATS = re.compile(r"^(\s*)# (.+?): (pass:\d+ fail:\d+(?: \w+:\d+)*)\s*$")
_DIAGNOSTIC = re.compile(r"^\s*# (.*)")

# Directives of ktap.rst. An expected failure proves nothing either, so that it counts as skipped.
_UNPROVEN = ("SKIP", "TODO", "XFAIL")
_BROKEN = ("TIMEOUT", "ERROR")

_MESSAGE_LINES = 20
"""So many lines after "EXPECTATION FAILED" are still that message: values, and the test's own words."""


def parse(lines: Iterable[str]) -> Report:
    """The tests in LINES: the kernel log without its time stamps, or the output of a program that writes TAP."""
    parser = _Parser()
    for line in lines:
        parser.take(line.rstrip("\n"))
    return parser.finish()


@dataclass
class _Document:
    """One level of tests while it is read: from its version line to the result line of its parent."""

    indent: int
    name: str = ""
    announced: bool = False
    plan: int | None = None
    skipped: str | None = None
    results: list[Result] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    stats: list[tuple[str, Counter[Status]]] = field(default_factory=list)
    message: int = 0


class _Parser:
    def __init__(self) -> None:
        self._stack: list[_Document] = []
        self._results: list[Result] = []
        self._errors: list[str] = []
        self._early: list[str] = []
        self._seen = False
        self._empty = False

    def take(self, line: str) -> None:
        for pattern, act in (
            (_VERSION, self._version),
            (_PLAN, self._plan),
            (_SUBTEST, self._subtest),
            (_RESULT, self._result),
            (_STATS, self._statistics),
        ):
            if match := pattern.match(line):
                act(match)
                return
        self._other(line)

    def finish(self) -> Report:
        """Close all that is open; a suite without a result line crashed."""
        self._close_to(0)
        if self._stack:
            self._end_root(self._stack.pop())
        if not self._seen:
            self._errors.append("no KTAP at all")
        elif self._empty and not self._results:
            # amid results it is nothing: KUnit writes one at every boot (lib/kunit/executor.c, kunit_exec_run_tests())
            self._errors.append("the plan is empty")
        return Report(tuple(self._results), tuple(self._errors))

    def _version(self, match: re.Match[str]) -> None:
        indent = len(match[1])
        self._close_to(indent)
        if self._stack and self._stack[-1].indent == indent:
            open_document = self._stack.pop()
            if indent:
                self._crash(open_document)
            else:
                self._end_root(open_document)
        self._stack.append(_Document(indent, announced=True))
        self._seen = True

    def _subtest(self, match: re.Match[str]) -> None:
        """Before 6.2 KUnit wrote no version line of the subtest, only this."""
        document = self._at(len(match[1])) or self._open(len(match[1]))
        if document.name or document.results:
            self._error(document, f"began again as {match[2]}")
        document.name = match[2]
        self._seen = True

    def _plan(self, match: re.Match[str]) -> None:
        document = self._at(len(match[1]))
        if document is None:
            return
        if document.plan is not None:
            self._error(document, "has two plans")
        document.plan, document.skipped = int(match[2]), match[3]
        if not document.results:
            document.said.clear()  # attributes of the suite: "# module: name", "# speed: slow"
        if not (document.plan or document.skipped or document.results):
            self._empty = True
            self._stack.remove(document)

    def _result(self, match: re.Match[str]) -> None:
        self._seen = True
        indent, name = len(match[1]), (match[4] or "").strip()
        document = self._at(indent)
        if document is None and indent and not any(d.indent > indent for d in self._stack):
            self._errors.append(f"a result outside of any test: {match[0].strip()}")
            return
        self._close_to(indent, keep=1)
        below = self._stack.pop() if self._stack and self._stack[-1].indent > indent else None
        if document is None:
            document = self._open(indent)
        elif below and int(match[3]) == 1:
            document = self._next_module(document)
        self._check_number(document, int(match[3]), name)
        if below and not indent and below.plan is None:
            self._error(below, "has no plan: a suite of KUnit always has one")
        children = self._children(below, name) if below else ()
        status = self._status(match[2] == "ok", (match[5] or "").upper(), name)
        reason = (match[6] or "").strip() if (match[5] or "").upper() in (*_UNPROVEN, *_BROKEN) else ""
        said = (*(below.said if below else ()), *document.said)
        result = Result(name, status, int(match[3]), reason, said, children)
        self._check_parent(result)
        self._check_stats(document, result)
        document.results.append(result)
        document.said.clear()
        document.message = 0

    def _statistics(self, match: re.Match[str]) -> None:
        """KUnit's "# suite: pass:1 fail:0 skip:0 total:1", kselftest's "# Totals: …"; compared when the test ends."""
        counts = {key: int(value) for key, value in (word.split(":") for word in match[3].split())}
        statistics = Counter(
            {
                Status.PASSED: counts.get("pass", 0),
                Status.FAILED: counts.get("fail", 0) + counts.get("error", 0) + counts.get("xpass", 0),
                Status.SKIPPED: counts.get("skip", 0) + counts.get("xfail", 0),
            }
        )
        document = self._at(len(match[1]))
        if document is None and self._stack and self._stack[-1].indent > len(match[1]):
            document = self._root_below(len(match[1]))
        if document is not None:
            document.stats.append((match[2], statistics))

    def _other(self, line: str) -> None:
        """Keep what a test says of itself: "# …" lines, and the lines of a failed expectation."""
        diagnostic = _DIAGNOSTIC.match(line)
        if not self._stack:
            self._early += [diagnostic[1]] if diagnostic else []
            return
        document = self._stack[-1]
        if diagnostic:
            document.message = _MESSAGE_LINES if "FAILED at" in line else 0
            document.said.append(diagnostic[1])
        elif document.message and line.strip():
            document.message -= 1
            document.said.append(line.strip())

    def _at(self, indent: int) -> _Document | None:
        return next((document for document in self._stack if document.indent == indent), None)

    def _open(self, indent: int) -> _Document:
        """A document that no version line announced; a suite that failed to begin has said so before."""
        document = _Document(indent, said=self._early)
        self._early = []
        self._stack.append(document)
        return document

    def _root_below(self, indent: int) -> _Document:
        """The document around those on the stack, where no version line announced it (a module's suites)."""
        document = _Document(indent)
        self._stack.insert(0, document)
        return document

    def _next_module(self, document: _Document) -> _Document:
        """DOCUMENT, or the one after it where the suites of another module begin.

        In 6.1 those have no version line around them, and each module counts from 1 again
        (lib/kunit/test.c, __kunit_test_suites_init()).
        """
        begun = [result for result in document.results if result.status is not Status.CRASHED]
        if document.indent or not begun or (document.announced and document.plan != len(begun)):
            return document
        following = _Document(0, said=document.said, stats=document.stats)
        document.said, document.stats = [], []
        self._end_root(document)
        self._stack[self._stack.index(document)] = following
        return following

    def _close_to(self, indent: int, keep: int = 0) -> None:
        """End the documents deeper than INDENT, as crashed, but the outermost KEEP of them."""
        deeper = [document for document in self._stack if document.indent > indent]
        for document in reversed(deeper[keep:]):
            self._stack.remove(document)
            self._crash(document)

    def _crash(self, document: _Document) -> None:
        self._error(document, "has no result line: it crashed or was cut off")
        children = self._children(document, document.name)
        result = Result(document.name, Status.CRASHED, 0, "", tuple(document.said), children)
        parent = self._stack[-1].results if self._stack and self._stack[-1].indent < document.indent else self._results
        parent.append(result)

    def _end_root(self, document: _Document) -> None:
        """The end of a log or of a program's output: nobody's result line closes this."""
        if document.announced and document.plan is None and document.results:
            self._error(document, "has no plan: nobody knows whether all of it ran")
        self._results += self._children(document, "")
        if document.skipped and not document.results:
            self._results.append(Result("", Status.SKIPPED, 0, document.skipped))

    def _children(self, document: _Document, name: str) -> tuple[Result, ...]:
        """The results of DOCUMENT, checked as a whole, with those that are missing from its plan."""
        document.name = document.name or name
        results = list(document.results)
        for result, times in Counter(result.name for result in results if result.name).items():
            if times > 1:
                self._error(document, f"has {times} results named {result}")
        if not results and document.plan is None:
            self._error(document, "has nothing in it")
        planned = len(results) if document.plan is None else document.plan
        ended = [result for result in results if result.status is not Status.CRASHED]
        if len(ended) != planned:
            self._error(document, f"planned {planned} and has {len(ended)} results")
        results += [Result("", Status.MISSING, n) for n in range(len(ended) + 1, planned + 1)]
        for what, counts in document.stats:
            self._compare(document.name, what, counts, [leaf for result in results for leaf in result.leaves()])
        return tuple(results)

    def _check_number(self, document: _Document, number: int, name: str) -> None:
        ended = [result for result in document.results if result.status is not Status.CRASHED]
        expected = ended[-1].number + 1 if ended else 1
        if number != expected:
            self._error(document, f"result {number} ({name}) where {expected} was due")

    def _status(self, ok: bool, directive: str, name: str) -> Status:
        if directive in _UNPROVEN:
            return Status.SKIPPED
        if directive in _BROKEN and ok:
            self._errors.append(f"{name} is ok and {directive}")
            return Status.FAILED
        return Status.PASSED if ok else Status.FAILED

    def _check_parent(self, result: Result) -> None:
        below = Counter(child.status for child in result.children)
        bad = [child.name or str(child.number) for child in result.children if child.status not in _GOOD]
        if result.status in _GOOD and bad:
            self._errors.append(f"{result.name} is {result.status.value}, but not {', '.join(bad)} below it")
        elif result.status is Status.PASSED and below and not below[Status.PASSED]:
            self._errors.append(f"{result.name} is passed, but nothing below it is")

    def _check_stats(self, document: _Document, result: Result) -> None:
        """Compare the statistics before the line of RESULT with its direct tests, or with all where they are Totals."""
        for what, counts in document.stats:
            total = what == "Totals" or not result.children
            self._compare(result.name, what, counts, list(result.leaves()) if total else result.children)
        document.stats.clear()

    def _compare(self, name: str, what: str, claimed: Counter[Status], results: Sequence[Result]) -> None:
        counted = Counter(result.status for result in results)
        if what not in ("Totals", name):
            self._errors.append(f"{name} has the statistics of {what}")
        if any(counted[status] != claimed[status] for status in (Status.PASSED, Status.FAILED, Status.SKIPPED)):
            self._errors.append(f"{name}: {what} claims {_said(claimed)}, the lines say {_said(counted)}")

    def _error(self, document: _Document, what: str) -> None:
        self._errors.append(f"{document.name or 'the report'} {what}")


def _said(counts: Counter[Status]) -> str:
    return ", ".join(f"{counts[status]} {status.value}" for status in (Status.PASSED, Status.FAILED, Status.SKIPPED))
