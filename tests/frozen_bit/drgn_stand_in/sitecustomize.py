# SPDX-License-Identifier: GPL-2.0-only
"""What tools/mm/show_page_info.py of a kernel tree needs of drgn, with one page whose count is in REFCOUNT.

drgn itself would need a kernel that runs or a dump of its memory. Python reads a file of this
name before a script, from PYTHONPATH.
"""

import builtins
import os
import sys
from types import ModuleType
from typing import Any


class Anything:
    """An object of the debugged kernel: all its members exist, and are 0."""

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __getitem__(self, name: str) -> Any:
        return Anything()

    def __call__(self, *args: Any) -> Any:
        return Anything()

    def __and__(self, other: Any) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def value_(self) -> int:
        return 0

    def string_(self) -> bytes:
        return b"task"


class Counter(Anything):
    """The counter of an atomic_t."""

    def value_(self) -> int:
        return int(os.environ["REFCOUNT"])


class Count(Anything):
    """An atomic_t."""

    counter = Counter()


class Page(Anything):
    """The page to be shown."""

    _refcount = Count()


class Helpers(ModuleType):
    """A module of drgn: whatever is imported from it exists."""

    __path__ = ()
    FaultError = type("FaultError", (Exception,), {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return (lambda mm, address: Page()) if name == "follow_page" else Anything()


for module in ("drgn", "drgn.helpers", "drgn.helpers.linux", "drgn.helpers.linux.mm", "drgn.helpers.linux.cgroup"):
    sys.modules[module] = Helpers(module)
builtins.prog = Anything()  # type: ignore[attr-defined]
