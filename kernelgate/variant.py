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
