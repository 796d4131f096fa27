# SPDX-License-Identifier: GPL-2.0-only
"""The one place that starts processes.

Every child is started through setpriv(1) with a parent-death signal, so that a gate
killed with SIGKILL leaves no compiler and no QEMU behind (promise 7 of the README).
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kernelgate.errors import CommandError, InfrastructureError

PIPE = subprocess.PIPE
"""For start(): a stream that the caller reads or writes."""

TERMINATE_SECONDS = 5.0
"""How long a child may take to end after SIGTERM before it is killed."""


@dataclass(frozen=True)
class Result:
    """What a finished program left: its command, exit status and output (stderr apart unless merged)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def find(program: str, package: str) -> str:
    """The path of PROGRAM.

    Raises InfrastructureError naming the Debian PACKAGE that has it.
    """
    path = shutil.which(program)
    if path is None:
        raise InfrastructureError(f"{program} is not installed: apt install {package}")
    return path


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Result:
    """Run ARGV to its end and return what it printed.

    ENV is added to this process's environment; TIMEOUT is in seconds.
    Raises CommandError for a non-zero status (unless CHECK is false) and
    InfrastructureError for a missing program or a timeout.
    """
    words = _words(argv)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    with start(words, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            out, err = child.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            raise InfrastructureError(f"{' '.join(words)}: no end after {timeout:.0f} s") from None
    stdout, stderr = out.decode(errors="replace"), err.decode(errors="replace")
    if check and child.returncode:
        raise CommandError(words, child.returncode, stderr or stdout)
    return Result(words, child.returncode, stdout, stderr)


def run_lines(
    argv: Sequence[str | os.PathLike[str]],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> Result:
    """Run ARGV with stdout and stderr merged, calling ON_LINE for each line as it comes.

    The output is also written to LOG. Unlike run(), the status is the caller's to
    judge: a compiler's failure is a result, not an accident.
    Raises InfrastructureError when the program is missing or prints nothing more
    and does not end within TIMEOUT seconds.
    """
    words = _words(argv)
    deadline = None if timeout is None else time.monotonic() + timeout
    lines: list[str] = []
    with (
        start(
            words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child,
        Path(log or os.devnull).open("w", encoding="utf-8") as record,
    ):
        assert child.stdout is not None
        for line in _lines(child.stdout, deadline, words):
            record.write(line)
            lines.append(line)
            on_line(line.rstrip("\n"))
        child.wait()
    return Result(words, child.returncode, "".join(lines), "")


def pipe(first: Sequence[str | os.PathLike[str]], second: Sequence[str | os.PathLike[str]]) -> None:
    """Run FIRST | SECOND to their ends.

    Raises CommandError when one of them fails, FIRST's failure before SECOND's.
    """
    with tempfile.TemporaryFile() as complaints:
        with (
            start(first, stdout=PIPE, stderr=complaints) as source,
            start(second, stdin=source.stdout, stderr=complaints) as sink,
        ):
            assert source.stdout is not None
            source.stdout.close()  # else SOURCE would never notice that SINK is gone
            sink.wait()
            source.wait()
        complaints.seek(0)
        output = complaints.read().decode(errors="replace")
    for argv, child in ((first, source), (second, sink)):
        if child.returncode:
            raise CommandError(_words(argv), child.returncode, output)


@contextmanager
def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """A running ARGV; ended when the context is left, whatever way it is left.

    The parent-death signal follows the thread that starts the child (prctl(2)), so
    start long-lived children from a thread that lives as long as they should.
    Raises InfrastructureError when the program is not there.
    """
    words = _words(argv)
    if shutil.which(words[0]) is None:
        raise InfrastructureError(f"{words[0]}: no such program")
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *words],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},  # we read what they print
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
    )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _words(argv: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(os.fspath(word) for word in argv)


def _lines(stream: IO[bytes], deadline: float | None, words: tuple[str, ...]) -> Iterator[str]:
    """The lines of STREAM until its end; a thread reads, so that the deadline holds while nothing comes."""
    incoming: queue.Queue[bytes | None] = queue.Queue()

    def pump() -> None:
        for line in stream:
            incoming.put(line)
        incoming.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            line = incoming.get(timeout=left)
        except queue.Empty:
            raise InfrastructureError(f"{' '.join(words)}: no end in time") from None
        if line is None:
            return
        yield line.decode(errors="replace")
