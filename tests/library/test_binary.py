# SPDX-License-Identifier: GPL-2.0-only
"""Whether two binaries are the same to the processor; gcc and ld are the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelgate import binary
from kernelgate.command import run
from kernelgate.errors import CommandError

CODE = 'int counter = 5;\nconst char text[] = "page";\nint get(int n)\n{\n\treturn n + counter;\n}\n'


def linked(folder: Path, code: str, *flags: str, name: str = "vmlinux") -> Path:
    """CODE as a linked file with a build id."""
    folder.mkdir(exist_ok=True)
    (folder / "a.c").write_text(code)
    made = folder / name
    run(["gcc", "-nostdlib", "-static", "-Wl,--build-id=sha1", "-Wl,-e0", "-o", made, "a.c", *flags], cwd=folder)
    return made


def build_id(path: Path) -> str:
    found = binary.BUILD_ID_SECTION.search(run(["readelf", "-n", path]).stdout)
    assert found
    return found[1]


def test_debug_information_and_its_build_id_do_not_count(tmp_path: Path) -> None:
    plain, debug = linked(tmp_path / "a", CODE), linked(tmp_path / "b", f"/* moved */\n\n{CODE}", "-g")
    assert build_id(plain) != build_id(debug)
    assert plain.read_bytes() != debug.read_bytes()
    assert binary.digest(plain) == binary.digest(debug)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n + counter", "n - counter"),
        ("= 5", "= 6"),
        ('"page"', '"Page"'),
        ("int counter = 5;", "int counter = 5, more;"),
    ],
)
def test_code_data_strings_and_room_count(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert binary.digest(linked(tmp_path / "a", CODE)) != binary.digest(linked(tmp_path / "b", CODE.replace(old, new)))


def module(folder: Path, code: str, *flags: str) -> Path:
    """CODE as an object that is not linked yet, as a module is."""
    folder.mkdir(exist_ok=True)
    (folder / "a.c").write_text(code)
    run(["gcc", "-c", "-fno-inline", "-o", folder / "a.ko", "a.c", *flags], cwd=folder)
    return folder / "a.ko"


def test_what_a_module_calls_counts(tmp_path: Path) -> None:
    """Both callers are the same bytes: only the relocation says which function it is."""
    code = "int one(void);\nint two(void);\nint caller(void)\n{\n\treturn one();\n}\n"
    first, second = module(tmp_path / "a", code), module(tmp_path / "b", code.replace("return one", "return two"))
    assert binary.digest(first) != binary.digest(second)
    assert binary.digest(first) == binary.digest(module(tmp_path / "c", code))


def test_modules_count_by_their_names(tmp_path: Path) -> None:
    made = module(tmp_path / "a", CODE)
    other = made.with_name("b.ko")
    other.write_bytes(made.read_bytes())
    assert binary.digest(made) == binary.digest(other)
    assert binary.digest_all([made]) != binary.digest_all([other])


SHOWN = """\
Section Headers:
  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0
  [ 1] .text             PROGBITS        ffffffff81000000 200000 808bf8 00  AX  0   0 4096
  [ 6] __ksymtab_strings PROGBITS        ffffffff81c5cd67 e5cd67 01f161 01 AMS  0   0  1
  [35] .bss              NOBITS          ffffffff8261b000 181b000 14e000 00  WA  0   0 4096
  [37] .debug_aranges    PROGBITS        0000000000000000 181b000 016da0 00      0   0 16
  [46] .symtab           SYMTAB          0000000000000000 41200d8 1b88f8 18     47 55234  8
"""


def test_sections_of_a_kernel_are_read() -> None:
    found = binary.sections(SHOWN)
    assert [section.number for section in found] == [0, 1, 6, 35, 37, 46]
    assert [section.name for section in binary.loaded(found)] == [".text", "__ksymtab_strings", ".bss"]
    assert (found[1].address, found[1].offset, found[1].size) == (0xFFFFFFFF81000000, 0x200000, 0x808BF8)


def test_what_is_no_elf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF")
    with pytest.raises(CommandError):
        binary.digest(tmp_path / "text")
