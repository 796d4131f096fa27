# SPDX-License-Identifier: GPL-2.0-only
"""One thing in reserve: the next of its kind is made while the present one is in use.

A test keeps one processor busy at best, and the guest of the next one can be restored
on another meanwhile. What is in reserve has been used by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Reserve(Generic[K, V]):
    """Makes things of a kind by MAKE, whose contexts may be entered in one thread and left in another."""

    def __init__(self, make: Callable[[K], AbstractContextManager[V]]) -> None:
        self._make = make
        # One thread for as long as this: the processes that it starts die with it (command.start()).
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reserve")
        self._spare: tuple[K, Future[tuple[ExitStack, V]]] | None = None

    @contextmanager
    def take(self, kind: K) -> Iterator[V]:
        """One of KIND, ended with the context; while it lasts, the next one of KIND is made.

        Raises what MAKE raises, or has raised in the background.
        """
        stack, made = self._spare_of(kind) or self._made(kind)
        with stack:
            self._spare = (kind, self._thread.submit(self._made, kind))
            yield made

    def close(self) -> None:
        """End what is in reserve, and make no more."""
        self._discard()
        self._thread.shutdown(wait=True)

    def _made(self, kind: K) -> tuple[ExitStack, V]:
        with ExitStack() as stack:
            made = stack.enter_context(self._make(kind))
            return stack.pop_all(), made

    def _spare_of(self, kind: K) -> tuple[ExitStack, V] | None:
        """What is in reserve, if it is of KIND and somebody has begun to make it."""
        if self._spare is None or self._spare[0] != kind:
            self._discard()
            return None
        future, self._spare = self._spare[1], None
        if future.cancel():
            return None
        return future.result()

    def _discard(self) -> None:
        if self._spare and not self._spare[1].cancel():
            self._spare[1].add_done_callback(_end)
        self._spare = None


def _end(future: Future[tuple[ExitStack, V]]) -> None:
    if future.exception() is None:
        future.result()[0].close()
