# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures that run one piece of work in a guest; what goes wrong with the place we run in is an error here."""

from __future__ import annotations

from typing import Any

import pytest

from kernelgate.selection import Target
from kernelgate.suites import Case


@pytest.fixture
def kunit_verdict(request: pytest.FixtureRequest, gate: Any, target: Target, case: Case) -> Any:
    """The verdict on one KUnit case of the suite; alone where only this one was asked for, or many times."""
    module = request.node.get_closest_marker("suite").args[0]
    asked = [item for item in request.session.items if _suite_on(item) == (module, target)]
    alone = len(asked) == 1 or request.config.getoption("--repeat") > 1
    return gate.kunit(target, module, case, alone=alone)


def _suite_on(item: pytest.Item) -> tuple[str, Target] | None:
    suite, callspec = item.get_closest_marker("suite"), getattr(item, "callspec", None)
    return (suite.args[0], callspec.params["target"]) if suite and callspec else None


@pytest.fixture
def program_verdict(request: pytest.FixtureRequest, gate: Any, target: Target, case: Case) -> Any:
    """The verdict on one case of the program that the test names."""
    return gate.program(target, request.node.get_closest_marker("program").args[0], case)


@pytest.fixture
def boot_verdict(gate: Any, target: Target) -> Any:
    """The verdict on the boot of a machine, from its first log record to its last."""
    return gate.booted(target)
