# SPDX-License-Identifier: GPL-2.0-only
"""Read what make and the compilers print: pure text to values."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWN_LINES = 40
"""How much of a failed build a person is shown; the log has the rest."""

_OBJECT = re.compile(r"  (?:CC|AS|HOSTCC)(?: \[M\])? +\S+\.o\Z|  HOSTCC +\S+\Z")
_MADE = re.compile(r"  (?:CC|AS|HOSTCC)(?: \[M\])? +(\S+)\.o\Z")
_WARNING = re.compile(r"\S: warning: |^WARNING: modpost: ")  # not ".config:7:warning: override", which is meant
_ERROR = re.compile(
    r"\berror: |: Error: |undefined reference|multiple definition|^ERROR: modpost|\bld(?:\.\w+)?: (?!warning: )"
    r"|Kconfig[\w.]*:\d+: |No rule to make target|: not found$|^make.*\*\*\* .*(?:Stop|No such)"
)
_MAKE_ERROR = re.compile(r"^make.*\*\*\* ")
_PLACE = re.compile(r"^\s+\d* *\||^\s+from |^In file included from |: (?:note: |In function|At top level)|^\s+\^")
_OUTSIDE = re.compile(
    r"No space left on device|Disk quota exceeded|Killed signal terminated program|Cannot allocate memory"
    r"|virtual memory exhausted|gelf\.h: No such file|install libelf|openssl/\S+: No such file"
)


def is_object(line: str) -> bool:
    """LINE of make's output says that one object is being made."""
    return _OBJECT.match(line) is not None


def warnings(lines: Sequence[str]) -> tuple[str, ...]:
    """The compilers' and modpost's warnings, each once, in order."""
    found = (line for line in lines if _WARNING.search(line))
    return tuple(dict.fromkeys(found))


def warned_file(line: str) -> str:
    """The file of the tree that a warning's LINE is about, e.g. "mm/gup.c", or the program that says it."""
    name = re.match(r"(?:\.\./)*(?P<name>[\w./+-]+?)(?::\d+)*: ", line)
    if name and "." in name["name"]:
        return name["name"]
    return "modpost" if line.startswith("WARNING: modpost") else line.partition(":")[0].strip()


def made(lines: Sequence[str]) -> frozenset[str]:
    """The objects that make says it made, without their suffix, e.g. "mm/gup"."""
    found = (_MADE.match(line) for line in lines)
    return frozenset(match[1] for match in found if match)


def errors(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines that say why a build failed, with the source lines that the compiler shows around them.

    Where no compiler speaks, what make said last.
    """
    chosen: set[int] = set()
    for index in (i for i, line in enumerate(lines) if _ERROR.search(line)):
        chosen.update(_around(lines, index))
    if not chosen:
        chosen = {i for i, line in enumerate(lines) if _MAKE_ERROR.match(line)} or set(range(len(lines)))
        return tuple(lines[i] for i in sorted(chosen)[-SHOWN_LINES:])
    return tuple(lines[i] for i in sorted(chosen)[:SHOWN_LINES])


def outside(lines: Sequence[str]) -> str:
    """The line that blames the place we run in and not the tree (disk, memory, a missing header), or ""."""
    return next((line for line in lines if _OUTSIDE.search(line)), "")


def _around(lines: Sequence[str], index: int) -> range:
    first, last = index, index + 1
    while first > 0 and _PLACE.search(lines[first - 1]):
        first -= 1
    while last < len(lines) and _PLACE.search(lines[last]):
        last += 1
    return range(first, last)
