# SPDX-License-Identifier: GPL-2.0-only
"""Which form of the frozen-page rules a kernel tree follows, read off its own headers.

A tree is judged by what it is, not by what somebody says was applied to it.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from kernelgate.errors import UserError

HEADERS = ("include/linux/page_ref.h", "include/linux/page-flags.h")

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_FROZEN_BIT = re.compile(r"#[ \t]*define[ \t]+PAGEREF_FROZEN_BIT\b|\bPAGEREF_FROZEN_BIT\s*=[^=]")
_ADD_UNLESS_FROZEN = re.compile(r"\bpage_ref_add_unless_frozen\s*\([^;{)]*\)\s*\{")

_ASSERTED = r"(?:_PAGE|_FOLIO)?\s*\(\s*!?\s*__page_(?:is_frozen|count_\w+)\s*\("
_BUG = re.compile(r"\bVM_BUG_ON" + _ASSERTED)
_WARNING = re.compile(r"\bVM_WARN_ON(?:_ONCE)?" + _ASSERTED)
"""The assertions of the series ask whether a page, or a count, is frozen or may change; none of the older ones does."""


class Variant(Enum):
    """The rules of the tree.

    UNPATCHED: a frozen page is one with a count of 0.
    ASSERTS: the same, through page_ref_add_unless_frozen() and with assertions against
    misuse (patch 1 of "mm: improve folio refcount scalability").
    FROZEN_BIT: a frozen page has PAGEREF_FROZEN_BIT set in its count (patch 2).
    """

    UNPATCHED = "unpatched"
    ASSERTS = "asserts"
    FROZEN_BIT = "frozen_bit"


class Assertions(Enum):
    """What include/linux/page_ref.h does, with DEBUG_VM, about an illegal change of a count.

    NONE: nothing that the kernel did not do before the series. BUG: it ends the offender
    (VM_BUG_ON_PAGE(), as posted in version 4). WARN: it warns, once a place, and goes on
    (VM_WARN_ON_ONCE_PAGE(), as review has asked for).
    """

    NONE = "none"
    BUG = "bug"
    WARN = "warn"


def assertions(tree: Path) -> Assertions:
    """What the kernel tree at TREE asserts in page_ref.h.

    Raises UserError when the header is not there.
    """
    text = _code(tree / HEADERS[0])
    if _WARNING.search(text):
        return Assertions.WARN
    return Assertions.BUG if _BUG.search(text) else Assertions.NONE


def detect(tree: Path) -> Variant:
    """The variant of the kernel tree at TREE, from the names that its HEADERS define.

    Raises UserError when the headers are not there.
    """
    text = "\n".join(_code(tree / header) for header in HEADERS)
    if _FROZEN_BIT.search(text):
        return Variant.FROZEN_BIT
    if _ADD_UNLESS_FROZEN.search(text):
        return Variant.ASSERTS
    return Variant.UNPATCHED


def _code(header: Path) -> str:
    """HEADER without its comments, which may well speak of what is not there."""
    try:
        return _COMMENT.sub(" ", header.read_text(errors="replace"))
    except FileNotFoundError:
        raise UserError(f"{header} does not exist: name the top folder of a kernel tree") from None
