# SPDX-License-Identifier: GPL-2.0-only
"""How long work says how far it is, without printing.

The library calls a Report with a Step; whoever stands at the edge (conftest.py,
scripts/) decides how a person sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One moment of one piece of work, e.g. Step("build 7.2 arm64", 310, 993, "objects")."""

    name: str
    done: int = 0
    total: int | None = None
    unit: str = ""


Report = Callable[[Step], None]


def silent(_step: Step) -> None:
    """A Report for callers that show nothing."""
