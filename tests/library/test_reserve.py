# SPDX-License-Identifier: GPL-2.0-only
"""The reserve: what is taken was made for its taker, ahead where that could be, and all that was made is ended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kernelgate.reserve import Reserve

SECONDS = 10.0
"""How long a test waits for the other thread before it is red."""


class Maker:
    """Makes numbered things, and keeps count of which have been begun, made and ended."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.ended: list[int] = []
        self.changed = threading.Condition()
        self.go_on = threading.Event()
        """What each but the first waits for."""
        self.go_on.set()
        self.threads: list[int] = []
        self.fails = False

    @contextmanager
    def make(self, kind: str) -> Iterator[int]:
        with self.changed:
            number = len(self.kinds)
            self.kinds.append(kind)
            self.threads.append(threading.get_ident())
            fails = self.fails
            self.changed.notify_all()
        if number:
            self.go_on.wait(SECONDS)
        if fails:
            raise ValueError(f"{kind} cannot be made")
        yield number
        self.ended.append(number)

    def await_begun(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.kinds) >= count, SECONDS), self.kinds


@pytest.fixture
def maker() -> Iterator[Maker]:
    made = Maker()
    yield made
    made.go_on.set()


def test_the_next_one_is_made_while_the_first_is_in_use(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    with reserve.take("a") as first:
        maker.await_begun(2)
        assert maker.ended == []
    with reserve.take("a") as second:
        assert (first, second) == (0, 1)
    reserve.close()
    assert maker.threads[0] == threading.get_ident() != maker.threads[1]


def test_nobody_gets_what_somebody_has_used(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    seen = []
    for _ in range(5):
        with reserve.take("a") as made:
            seen.append(made)
            assert made not in maker.ended
    reserve.close()
    assert len(set(seen)) == 5


def test_what_is_in_reserve_of_another_kind_is_ended_unused(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    with reserve.take("a"):
        maker.await_begun(2)
    with reserve.take("b") as made:
        assert maker.kinds[made] == "b"
    reserve.close()
    assert sorted(maker.ended) == list(range(len(maker.kinds)))


def test_close_waits_for_what_is_being_made_and_ends_it(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    maker.go_on.clear()
    with reserve.take("a"):
        maker.await_begun(2)
    threading.Timer(0.1, maker.go_on.set).start()
    reserve.close()
    assert maker.ended == [0, 1]


def test_what_fails_in_the_background_is_raised_for_the_taker(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    with reserve.take("a"):
        maker.await_begun(2)
        maker.fails = True  # too late for the second, which is made; the third fails
    with reserve.take("a"):
        maker.await_begun(3)
    with pytest.raises(ValueError, match="a cannot be made"), reserve.take("a"):
        pass
    reserve.close()


def test_a_taker_does_not_wait_for_what_nobody_has_begun_to_make(maker: Maker) -> None:
    reserve = Reserve(maker.make)
    with reserve.take("a"):
        maker.await_begun(2)
    with reserve.take("b"):  # its own spare stands behind nothing: made by now or begun
        maker.await_begun(4)
    busy = threading.Event()
    reserve._thread.submit(busy.wait, SECONDS)
    with reserve.take("c") as made:
        assert maker.kinds[made] == "c"
    with reserve.take("c") as made:
        assert maker.threads[made] == threading.get_ident()
    busy.set()
    reserve.close()
