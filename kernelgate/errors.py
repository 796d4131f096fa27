# SPDX-License-Identifier: GPL-2.0-only
"""The ways in which a run can go wrong, each with the exit status it earns.

A user's mistake, trouble with the place we run in, and a kernel that does not
build, or that dies, are different verdicts: only the last two say anything about
the series.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence

CONSOLE_TAIL = 20
"""How many of the console's last lines an error shows."""


class KernelgateError(Exception):
    """Base of all errors of this library. `str()` of it is fit to be shown to a person."""

    exit_status = 1


class UserError(KernelgateError):
    """What was asked for cannot be done; the message is one line and names the remedy."""

    exit_status = 4


class InfrastructureError(KernelgateError):
    """The place we run in failed (network, disk, QEMU); never blamed on the series.

    75 is EX_TEMPFAIL of sysexits.h: try again later.
    """

    exit_status = 75


class PassingTrouble(InfrastructureError):
    """What struck at random, and need not strike again: the same work is worth one more try."""


class EmulatorFault(PassingTrouble):
    """QEMU itself has led the guest astray."""


class StarvedGuest(PassingTrouble):
    """The guest's kernel complained of a lockup while the host gave it no processor: it proves nothing either way."""


class BuildError(KernelgateError):
    """The tree does not compile. The message holds the compiler's own lines."""


class CommandError(InfrastructureError):
    """A program ended with a status that its caller did not expect."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.output = output
        ending = f"signal {-status}" if status < 0 else f"status {status}"
        tail = "\n".join(output.strip().splitlines()[-20:])
        super().__init__(f"{shlex.join(argv)}: {ending}" + (f"\n{tail}" if tail else ""))


class GuestDied(KernelgateError):
    """The guest's kernel ended itself (panic, reboot); the series' doing, not ours.

    console is all that it printed; the message shows the last lines of it.
    """

    def __init__(self, reason: str, console: str) -> None:
        self.reason = reason
        self.console = console
        tail = "\n".join(console.rstrip().splitlines()[-CONSOLE_TAIL:])
        super().__init__(f"{reason}\n{tail}" if tail else f"{reason}; it printed nothing on its console")


class GuestHung(GuestDied):
    """The guest's kernel is there but does not answer; the reason says what its CPUs were doing."""


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a NAME that is not among KNOWN, with the nearest valid names."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.4) or choices
    return UserError(f"unknown {what} '{name}': did you mean {', '.join(near)}?")
