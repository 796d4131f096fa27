# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's memory model, asked about the last put of a page (LKMM-01).

A litmus test says in a few lines of C what two CPUs do, herd7 tries all orders that the
model in the kernel's own tools/memory-model allows, and tells whether the end that must
not be is among them: "Never", "Sometimes" or "Always".

How a put is made, and with which ordering, is read off page_ref.h of the tree under
test; the litmus tests have a blank in that place.
"""

from __future__ import annotations

import re
import shutil
import string
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernelgate import image
from kernelgate.apt import Apt
from kernelgate.c_source import Function, functions, reached
from kernelgate.cache import Cache
from kernelgate.command import run
from kernelgate.errors import InfrastructureError
from kernelgate.progress import Report, Step, silent

HEADER = "include/linux/page_ref.h"
MODEL = "tools/memory-model"
PACKAGE = "herdtools7"
SUITES = ("sid",)
"""Where Debian has it; it wants a newer libc than Debian 12's, and gets its own."""

PUTS = ("page_ref_dec_and_test", "page_ref_sub_and_test")
HERD_SECONDS = 60.0
"""A test of two CPUs takes half a second at most."""

_ATOMIC = re.compile(r"\batomic_(?!read\b|set\b)\w+")
_OBSERVATION = re.compile(r"^Observation (\S+) (Never|Sometimes|Always) (\d+) (\d+)$", re.MULTILINE)
_STATE = re.compile(r"^(?:\d+:\w+=-?\d+; ?)+$", re.MULTILINE)


@dataclass(frozen=True)
class Put:
    """How a last put is made: the litmus TEST that models it, and the OPERATION that fills its blank."""

    test: str
    operation: str


@dataclass(frozen=True)
class Observation:
    """What herd7 found: how often the end that must not be comes, and all ends, e.g. {"0:frees": 1, "1:got": 0}."""

    word: str
    states: tuple[dict[str, int], ...]


@dataclass(frozen=True)
class Herd:
    """A herd7 that can be started: what stands before the name of the test."""

    argv: tuple[str, ...]

    def observe(self, tree: Path, test: str) -> Observation:
        """What the memory model of the kernel TREE allows in the litmus TEST, its text.

        Raises InfrastructureError when herd7 gives no answer.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".litmus") as file:
            file.write(test)
            file.flush()
            result = run([*self.argv, file.name], cwd=tree / MODEL, timeout=HERD_SECONDS, check=False)
        return observation(result.stdout, result.stderr)


def put(tree: Path) -> Put | None:
    """How page_ref.h of TREE makes a last put; None when no litmus test is written for that way."""
    known = functions((tree / HEADER).read_text(encoding="utf-8", errors="replace"))
    ways = {_way(_operations(name, known)) for name in PUTS}
    return ways.pop() if len(ways) == 1 else None


def _operations(name: str, known: dict[str, Function]) -> tuple[str, ...]:
    """The atomic operations of the function NAME and its helpers, in the order of a call; sub and dec are one."""
    bodies = sorted((each for each in reached(name, known)), key=lambda each: each.name != name)
    found = [word for each in bodies for word in _ATOMIC.findall(each.body)]
    return tuple(re.sub(r"^atomic_sub_and_test$", "atomic_dec_and_test", word) for word in found)


def _way(operations: tuple[str, ...]) -> Put | None:
    match operations:
        case ("atomic_dec_and_test",):
            return Put("put-at-once", operations[0])
        case ("atomic_dec_and_test", exchange) if exchange.startswith("atomic_cmpxchg"):
            return Put("put-in-two-steps", exchange)
        case (exchange,) if exchange.startswith("atomic_try_cmpxchg"):
            return Put("put-in-one-step", exchange.replace("try_", ""))
    return None


def fill(folder: Path, made: Put) -> str:
    """The litmus test of FOLDER for MADE, its blank filled."""
    return string.Template((folder / f"{made.test}.litmus").read_text()).substitute(exchange=made.operation)


def observation(output: str, complaint: str) -> Observation:
    """The answer in herd7's OUTPUT. Raises InfrastructureError, with its COMPLAINT, when there is none."""
    found = _OBSERVATION.search(output)
    if found is None:
        said = (complaint or output).strip().splitlines()
        raise InfrastructureError(f"herd7 gives no answer: {said[0] if said else 'it says nothing at all'}")
    states = [
        {name: int(value) for name, value in (part.strip().split("=") for part in line[0].rstrip("; ").split(";"))}
        for line in _STATE.finditer(output)
    ]
    return Observation(found[2], tuple(states))


def findings(tree: Path, folder: Path, herd: Herd) -> list[str]:
    """Why whoever frees a page need not see it as it was left, in TREE by the litmus tests of FOLDER."""
    made = put(tree)
    if made is None:
        return [f"{HEADER}: a put is made in a way that no litmus test in {folder.name}/ is written for"]
    seen = herd.observe(tree, fill(folder, made))
    if not happens(seen):
        return [f"{made.test}: nobody gets the page while it is freed: the test asks about nothing"]
    if seen.word != "Never":
        return [f"{made.test} with {made.operation}: who frees the page may miss what was written to it ({seen.word})"]
    return []


def happens(seen: Observation) -> bool:
    """Whether it can come to what the tests are about at all: P1 had the page, P0 frees it and sees what P1 wrote."""
    return any((end["0:frees"], end["1:got"], end["0:sees"]) == (1, 1, 1) for end in seen.states)


def herd(cache: Cache, report: Report = silent) -> Herd:
    """herd7 of this system or else Debian's, unpacked into CACHE with the libraries it needs.

    Raises InfrastructureError when it cannot be fetched.
    """
    if found := shutil.which("herd7"):
        return Herd((found, "-conf", "linux-kernel.cfg"))

    def make(place: Path) -> None:
        report(Step(f"fetch {PACKAGE}"))
        _install(place)

    folder = cache.publish("herd7", "sid", make, report)
    loader = next(iter(sorted((folder / "lib").glob("ld-linux*"))))
    argv = (loader, "--library-path", folder / "lib", folder / "herd7", "-I", folder / "herd", "-conf")
    return Herd((*map(str, argv), "linux-kernel.cfg"))


def _install(place: Path) -> None:
    """herd7, its own files and its libraries in PLACE; what else the packages have is not kept."""
    packages = place / "packages"
    apt = Apt(place / "apt", SUITES, run(["dpkg", "--print-architecture"]).stdout.strip())
    apt.update()
    for deb in apt.download_all([PACKAGE]):
        run(["dpkg-deb", "-x", deb, packages])
    program = packages / "usr/bin/herd7"
    if not program.is_file():
        raise InfrastructureError(f"Debian's {PACKAGE} has no herd7 any more: put one on the PATH")
    (place / "lib").mkdir()
    for library in image.libraries(packages, program):
        shutil.copy(library, place / "lib" / library.name)
    shutil.copy(program, place / "herd7")
    shutil.copytree(packages / "usr/share/herdtools7/herd", place / "herd")
    for rest in ("packages", "apt"):
        shutil.rmtree(place / rest)
