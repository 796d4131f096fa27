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


def decode(
    lines: Sequence[str],
    vmlinux: Path,
    source_dir: Path,
    arch: str = "x86_64",
    modules: Path | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> tuple[str, ...]:
    """LINES with file:line (relative to SOURCE_DIR) in the place of the offset of each frame.

    VMLINUX holds the debug information of the running kernel; MODULES is the folder with its modules.
    On any trouble the lines come back as they were, with one more that says why. TIMEOUT is in seconds.
    """
    frames = [n for n, line in enumerate(lines) if _FRAME.match(line)]
    if not frames:
        return tuple(lines)
    try:
        decoded = _run([lines[n] for n in frames], vmlinux, source_dir, arch, modules, timeout)
    except InfrastructureError as error:
        return (*lines, f"(not decoded: {str(error).splitlines()[0]})")
    result = list(lines)
    for n, text in zip(frames, decoded, strict=True):
        if "??:" not in text:
            indent = lines[n][: len(lines[n]) - len(lines[n].lstrip())]
            result[n] = indent + re.sub(r"(?<=[ (])\./", "", text.lstrip())
    return tuple(result)


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


def _run(
    frames: Sequence[str], vmlinux: Path, source_dir: Path, arch: str, modules: Path | None, timeout: float
) -> list[str]:
    """What the script makes of FRAMES, line by line."""
    script = source_dir / "scripts" / "decode_stacktrace.sh"
    missing = next((path for path in (script, vmlinux) if not path.is_file()), None)
    if missing:
        raise InfrastructureError(f"{missing}: no such file")
    result = command.run(
        ["bash", script, vmlinux, source_dir, *([modules] if modules else [])],
        # an empty list of servers: debug information is never fetched from the network
        env={"CROSS_COMPILE": CROSS_COMPILE.get(arch, ""), "DEBUGINFOD_URLS": "", "LLVM": ""},
        stdin="\n".join(frames) + "\n",
        timeout=timeout,
    )
    decoded = result.stdout.splitlines()
    if len(decoded) != len(frames):
        raise InfrastructureError(f"{script.name}: {len(decoded)} lines for {len(frames)} frames")
    return decoded
