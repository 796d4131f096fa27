# SPDX-License-Identifier: GPL-2.0-only
"""Whether two kernels, or two modules, are the same to the processor: their allocated ELF sections.

Left out are debug information, symbol names, and the build id, which is a hash of both. Nothing
else has to be: time, host, user and build number are the same in every build (kbuild.py),
and a version or a line number that is in an allocated section is something that a guest can see.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kernelgate.command import run

BUILD_ID_SECTION = re.compile(r"Build ID: ([0-9a-f]+)")

# readelf(1) -SW: "[ 1] .text PROGBITS ffffffff81000000 200000 808bf8 00  AX  0   0 4096"; a name may be empty
_SECTION = re.compile(
    r"^ +\[ *(?P<number>\d+)\] (?P<name>\S*) +(?P<type>[A-Z]\w+) +(?P<address>[0-9a-f]{8,}) (?P<offset>[0-9a-f]{6,}) "
    r"(?P<size>[0-9a-f]{6,}) [0-9a-f]{2} +(?P<flags>[A-Za-z]*) +(?P<link>\d+) +(?P<info>\d+) +\d+$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Section:
    """One section of an ELF file; size and offset in bytes; info is, of relocations, the section that they are for."""

    number: int
    name: str
    type: str
    address: int
    offset: int
    size: int
    flags: str
    info: int

    @property
    def allocated(self) -> bool:
        """Whether it takes memory when the file is loaded (SHF_ALLOC)."""
        return "A" in self.flags


def sections(text: str) -> tuple[Section, ...]:
    """The sections that readelf -SW shows in TEXT."""
    return tuple(
        Section(
            int(m["number"]), m["name"], m["type"], int(m["address"], 16), int(m["offset"], 16), int(m["size"], 16),
            m["flags"], int(m["info"]),
        )
        for m in _SECTION.finditer(text)
    )  # fmt: skip


def digest(path: Path) -> str:
    """A hash of what the ELF file at PATH is in memory, equal for files that differ in nothing else.

    Of a module, which is not linked yet, the relocations of such sections count as well, and the symbols that they
    name. Raises CommandError for a file that is no ELF file.
    """
    environment = {"LC_ALL": "C"}
    found = sections(run(["readelf", "-SW", path], env=environment).stdout)
    build_id = BUILD_ID_SECTION.search(run(["readelf", "-nW", path], env=environment).stdout)
    data = path.read_bytes()
    hashed = hashlib.sha256()
    for section in loaded(found):
        content = b"" if section.type == "NOBITS" else data[section.offset : section.offset + section.size]
        if build_id:
            identity = bytes.fromhex(build_id[1])
            content = content.replace(identity, bytes(len(identity)))
        hashed.update(f"{section.name} {section.type} {section.address} {section.size} {section.flags}\0".encode())
        hashed.update(content)
    return hashed.hexdigest()


def loaded(found: Iterable[Section]) -> list[Section]:
    """Those of a file's sections that make it what it is in memory."""
    known = list(found)
    allocated = {section.number for section in known if section.allocated}
    relocations = [s for s in known if s.type in ("RELA", "REL") and s.info in allocated and not s.allocated]
    names = [s for s in known if relocations and s.name in (".symtab", ".strtab")]
    return [s for s in known if s.allocated] + relocations + names


def digest_all(paths: Iterable[Path]) -> str:
    """One hash of the files at PATHS and of their names."""
    lines = [f"{path.name} {digest(path)}" for path in sorted(paths)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
