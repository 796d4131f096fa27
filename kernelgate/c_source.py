# SPDX-License-Identifier: GPL-2.0-only
"""Kernel C, read just far enough to tell functions apart: pure text, no compiler.

It relies on the kernel's coding style: a function's braces stand in the first column.
What needs the language's grammar is coccinelle's (static_rules.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_FUNCTION = re.compile(r"^(?=[a-zA-Z_])[^;{}#=]*?\b(\w+)\(([^;{}#]*?)\)\s*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"\b(\w+)\s*\(")


@dataclass(frozen=True)
class Function:
    """A function's definition: its name, its body with comments blanked, and the line and character it begins at."""

    name: str
    body: str
    line: int
    start: int

    @property
    def calls(self) -> set[str]:
        """The names that stand before an opening parenthesis in it, macros and keywords included."""
        return set(_CALL.findall(self.body))


def without_comments(text: str) -> str:
    """TEXT with each comment and each text in quotes blanked; lines stay where they are."""
    return _COMMENT_OR_TEXT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def functions(text: str) -> dict[str, Function]:
    """The functions that TEXT defines, by name; of two with the same name (#ifdef) the first that calls something."""
    code = without_comments(text)
    found: dict[str, Function] = {}
    for match in _FUNCTION.finditer(code):
        if match[1] in found and found[match[1]].calls:
            continue
        found[match[1]] = Function(match[1], match[3], code.count("\n", 0, match.start(3)) + 1, match.start(3))
    return found


def reached(name: str, known: Mapping[str, Function]) -> list[Function]:
    """The function NAME and those of KNOWN that it calls, directly or not."""
    seen: dict[str, Function] = {}
    left = [name]
    while left:
        current = left.pop()
        if current in known and current not in seen:
            seen[current] = known[current]
            left += sorted(known[current].calls)
    return list(seen.values())


def line_of(function: Function, offset: int) -> int:
    """The line of the file that the character OFFSET of FUNCTION's body is on."""
    return function.line + function.body.count("\n", 0, offset)
