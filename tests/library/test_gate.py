# SPDX-License-Identifier: GPL-2.0-only
"""What of the pipeline needs no guest."""

import pytest

from kernelgate.errors import EmulatorFault, InfrastructureError
from kernelgate.gate import steadied


class Work:
    """Something that fails so many times."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.tries = list(errors), 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_fault_of_the_emulator_is_worth_one_more_try() -> None:
    assert steadied(Work(EmulatorFault("int3"))) == "done"


def test_the_same_fault_twice_is_no_pass() -> None:
    work = Work(EmulatorFault("int3"), EmulatorFault("int3"))
    with pytest.raises(EmulatorFault):
        steadied(work)
    assert work.tries == 2


def test_other_trouble_is_not_tried_again() -> None:
    work = Work(InfrastructureError("disk full"))
    with pytest.raises(InfrastructureError, match="disk full"):
        steadied(work)
    assert work.tries == 1
