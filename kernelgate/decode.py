# SPDX-License-Identifier: GPL-2.0-only
"""Turn symbol+offset of a splat into file:line, by the kernel's own scripts/decode_stacktrace.sh.

A convenience for the reader: a verdict never hangs on it, so that what cannot be decoded is
shown as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kernelgate import command
from kernelgate.errors import InfrastructureError

TIMEOUT_SECONDS = 60.0
"""A long trace takes a second or two; beyond this something is stuck."""

CROSS_COMPILE = {"x86_64": "", "arm64": "aarch64-linux-gnu-"}
"""The prefix of nm and addr2line for each architecture (Debian's names)."""

# A frame and nothing after it but a module, its build id and the unwinder's flags. The script hands words of
# the line to shell arithmetic: only what cannot be anything but a symbol goes there.
_FRAME = re.compile(
    r"^\s*(?:\? |[RE]IP: [0-9a-f]{4}:|pc : |lr : )?[A-Za-z_][\w.]*\+0x[0-9a-f]+/0x[0-9a-f]+"
    r"(?: \[\w+(?: [0-9a-f]+)?\])?(?: \([A-Z]+\))?$"
)


_ADDRESS = re.compile(r"\bffff[0-9a-f]{12}\b")


class Decoder:
    """Decodes the splats of one kernel, and each frame of them only once: a start of the script takes a second or two.

    VMLINUX holds the debug information of the kernel; MODULES is the folder with its modules. TIMEOUT is in seconds.
    """

    def __init__(
        self,
        vmlinux: Path,
        source_dir: Path,
        arch: str = "x86_64",
        modules: Path | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._vmlinux, self._source_dir, self._arch, self._modules = vmlinux, source_dir, arch, modules
        self._timeout = timeout
        self._known: dict[str, str] = {}

    def decode(self, *splats: Sequence[str]) -> list[tuple[str, ...]]:
        """The lines of each of SPLATS, with file:line (relative to the source) in the place of each frame's offset.

        On any trouble the lines come back as they were, with one more that says why.
        """
        frames = dict.fromkeys(line for lines in splats for line in lines if _FRAME.match(line))
        new = [frame for frame in frames if frame not in self._known]
        try:
            self._known |= dict(zip(new, self._run(new), strict=True)) if new else {}
        except InfrastructureError as error:
            return [(*lines, f"(not decoded: {str(error).splitlines()[0]})") for lines in splats]
        return [tuple(self._known.get(line, line) for line in lines) for lines in splats]

    def _run(self, frames: Sequence[str]) -> list[str]:
        """What the script makes of FRAMES, line by line; what it does not know stays as it is."""
        script = self._source_dir / "scripts" / "decode_stacktrace.sh"
        missing = next((path for path in (script, self._vmlinux) if not path.is_file()), None)
        if missing:
            raise InfrastructureError(f"{missing}: no such file")
        result = command.run(
            ["bash", script, self._vmlinux, self._source_dir, *([self._modules] if self._modules else [])],
            # an empty list of servers: debug information is never fetched from the network
            env={"CROSS_COMPILE": CROSS_COMPILE.get(self._arch, ""), "DEBUGINFOD_URLS": "", "LLVM": ""},
            stdin="\n".join(frames) + "\n",
            timeout=self._timeout,
        )
        decoded = result.stdout.splitlines()
        if len(decoded) != len(frames):
            raise InfrastructureError(f"{script.name}: {len(decoded)} lines for {len(frames)} frames")
        return [_indented(frame, text) for frame, text in zip(frames, decoded, strict=True)]


def _indented(frame: str, text: str) -> str:
    """TEXT, which is what the script made of FRAME, with what it did to spaces and paths undone."""
    if "??:" in text:
        return frame
    indent = frame[: len(frame) - len(frame.lstrip())]
    return indent + re.sub(r"(?<=[ (])\./", "", text.lstrip())


def source_line(source_dir: Path, file: str, number: int) -> str:
    """Line NUMBER, from 1, of FILE in the tree SOURCE_DIR; "" where there is no such line."""
    try:
        lines = (source_dir / file).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[number - 1] if 1 <= number <= len(lines) else ""


def addresses(text: str, vmlinux: Path, arch: str) -> str:
    """TEXT with the function behind each kernel address, as it stands in what a hung guest's CPUs were doing.

    By addr2line; an address that it does not know, or any trouble, leaves the text as it was.
    """
    found = list(dict.fromkeys(_ADDRESS.findall(text)))
    if not found:
        return text
    try:
        program = command.find(f"{CROSS_COMPILE.get(arch, '')}addr2line", "binutils")
        said = command.run([program, "-afi", "-e", vmlinux, *found], timeout=TIMEOUT_SECONDS).stdout
    except InfrastructureError:
        return text
    functions = dict(zip(found, map(_outermost, re.split(r"^0x.*\n", said, flags=re.MULTILINE)[1:]), strict=False))
    return _ADDRESS.sub(lambda match: _with_function(match[0], functions.get(match[0], "??")), text)


def _outermost(chain: str) -> str:
    """The function that the others of CHAIN, pairs of lines FUNCTION and FILE:LINE, are inlined in."""
    return chain.splitlines()[-2]


def _with_function(address: str, function: str) -> str:
    return address if function == "??" else f"{address} {function}()"
