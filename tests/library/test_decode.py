# SPDX-License-Identifier: GPL-2.0-only
"""Decoding a trace: with real debug information made here by gcc, and what happens when it cannot be done.

The kernel's script stands in no fixture: the one here does by its interface what
scripts/decode_stacktrace.sh of 7.2 does (a trace on stdin; vmlinux and source folder as arguments).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kernelgate import command
from kernelgate.decode import Decoder, addresses, source_line

SCRIPT = r"""
vmlinux=$1 base=$2
while read -r line; do
    symbol=${line##* }
    name=${symbol%%+*} offset=${symbol#*+}
    start=$(nm "$vmlinux" | awk -v name="$name" '$3 == name { print $1 }')
    [ -n "$start" ] || { echo "$line"; continue; }
    at=$(addr2line -e "$vmlinux" "$(printf %x $((0x$start + ${offset%/*})))")
    echo "${line% *} $name (${at#$base/})"
done
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source folder with a script, a C file, and a "vmlinux" linked of it."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "decode_stacktrace.sh").write_text(SCRIPT)
    (tmp_path / "mm.c").write_text("int victim(int x)\n{\n\treturn x + 1;\n}\nint main(void) { return victim(0); }\n")
    command.run(["gcc", "-g", "-O0", tmp_path / "mm.c", "-o", tmp_path / "vmlinux"])
    return tmp_path


TRACE = [
    "page dumped because: VM_BUG_ON_PAGE(__page_is_frozen(page))",
    "Code: 48 c7 c6 00 00 <0f> 0b",
    "Call Trace:",
    " <TASK>",
    " ? victim+0x0/0x10",
    " no_such_function+0x1/0x2",
    " </TASK>",
]


def decode(
    lines: Sequence[str], vmlinux: Path, source: Path, arch: str = "x86_64", timeout: float = 60
) -> tuple[str, ...]:
    """What becomes of one splat."""
    (decoded,) = Decoder(vmlinux, source, arch, timeout=timeout).decode(lines)
    return decoded


def test_frames_get_file_and_line_and_other_lines_stay(tree: Path) -> None:
    decoded = decode(TRACE, tree / "vmlinux", tree)
    assert decoded[4] == " ? victim (mm.c:2)"
    assert [line for n, line in enumerate(decoded) if n != 4] == [line for n, line in enumerate(TRACE) if n != 4]


def test_what_the_script_does_to_spaces_and_paths_is_undone(tree: Path) -> None:
    """It drops the indentation, doubles it for modules, and knows nothing of a build with mapped paths."""
    (tree / "scripts" / "decode_stacktrace.sh").write_text("cat > /dev/null; echo '  f (./mm/a.c:1 ./mm/b.c:2) kg'\n")
    assert decode([" f+0x1/0x2 [kg]"], tree / "vmlinux", tree) == (" f (mm/a.c:1 mm/b.c:2) kg",)


def test_lines_without_frames_start_no_process(tmp_path: Path) -> None:
    assert decode(["nothing to decode"], tmp_path / "none", tmp_path) == ("nothing to decode",)


COUNTED = """echo start >> "$2/starts"; while read -r line; do echo "$line of the script"; done\n"""


def test_frames_of_several_splats_start_the_script_once(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text(COUNTED)
    decoder = Decoder(tree / "vmlinux", tree)
    one, two = decoder.decode([" a+0x1/0x2", "words"], [" b+0x1/0x2", " a+0x1/0x2"])
    assert one == (" a+0x1/0x2 of the script", "words")
    assert two == (" b+0x1/0x2 of the script", " a+0x1/0x2 of the script")
    assert (tree / "starts").read_text() == "start\n"


def test_frame_that_was_decoded_once_is_known(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text(COUNTED)
    decoder = Decoder(tree / "vmlinux", tree)
    first, again = decoder.decode([" a+0x1/0x2"]), decoder.decode([" a+0x1/0x2"])
    assert first == again == [(" a+0x1/0x2 of the script",)]
    assert (tree / "starts").read_text() == "start\n"
    assert decoder.decode([" a+0x1/0x3"]) == [(" a+0x1/0x3 of the script",)]


def test_trouble_is_not_remembered(tree: Path) -> None:
    script = tree / "scripts" / "decode_stacktrace.sh"
    script.write_text("exit 3\n")
    decoder = Decoder(tree / "vmlinux", tree)
    assert "status 3" in decoder.decode([" a+0x1/0x2"])[0][-1]
    script.write_text(COUNTED)
    assert decoder.decode([" a+0x1/0x2"]) == [(" a+0x1/0x2 of the script",)]


@pytest.mark.parametrize("missing", ["vmlinux", "scripts/decode_stacktrace.sh"])
def test_missing_file_is_told_after_the_raw_lines(tree: Path, missing: str) -> None:
    (tree / missing).unlink()
    decoded = decode(TRACE, tree / "vmlinux", tree)
    assert decoded[:-1] == tuple(TRACE)
    assert decoded[-1] == f"(not decoded: {tree / missing}: no such file)"


def test_failing_script_leaves_the_raw_lines(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text("exit 3\n")
    decoded = decode(TRACE, tree / "vmlinux", tree)
    assert decoded[:-1] == tuple(TRACE)
    assert "status 3" in decoded[-1]


def test_script_that_prints_too_little_is_not_believed(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text("cat > /dev/null; echo one line\n")
    decoded = decode(TRACE, tree / "vmlinux", tree)
    assert decoded[:-1] == tuple(TRACE)
    assert "1 lines for 2 frames" in decoded[-1]


def test_script_that_hangs_is_left_in_time(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text("exec sleep 60\n")
    begun = time.monotonic()
    decoded = decode(TRACE, tree / "vmlinux", tree, timeout=0.2)
    assert time.monotonic() - begun < 10
    assert decoded[:-1] == tuple(TRACE)
    assert "no end after" in decoded[-1]


def test_arm64_is_decoded_with_its_own_tools(tree: Path) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text('while read -r line; do echo "$CROSS_COMPILE$line"; done\n')
    decoded = decode(["pc : victim+0x0/0x10", " victim+0x0/0x10 (P)"], tree / "vmlinux", tree, "arm64")
    assert decoded == ("aarch64-linux-gnu-pc : victim+0x0/0x10", " aarch64-linux-gnu-victim+0x0/0x10 (P)")


@pytest.mark.parametrize(
    "line",
    [
        " victim+0x0/0x10 victim+a[$(touch pwned)]",
        " $(touch pwned)+0x0/0x10",
        " victim+0x0/0x10 [`touch pwned`]",
    ],
)
def test_words_that_a_shell_could_run_never_reach_the_script(tree: Path, line: str) -> None:
    (tree / "scripts" / "decode_stacktrace.sh").write_text("echo reached\n")
    assert decode([line], tree / "vmlinux", tree) == (line,)


def linked(folder: Path) -> Path:
    """A program whose function stuck() lies at a kernel's address."""
    (folder / "stuck.c").write_text(
        "static inline __attribute__((always_inline)) void spin(void) { for (;;) ; }\nvoid stuck(void) { spin(); }\n"
    )
    program = folder / "vmlinux"
    place = "-Wl,-Ttext=0xffffffff81000000,-e,stuck,--build-id=none"
    subprocess.run(
        [
            "gcc",
            "-g",
            "-nostdlib",
            "-static",
            "-mcmodel=kernel",
            "-fno-pic",
            "-no-pie",
            place,
            "-o",
            program,
            folder / "stuck.c",
        ],
        check=True,
    )
    return program


def test_addresses_of_a_hung_guest_get_their_functions(tmp_path: Path) -> None:
    text = "CPU 0: ffffffff81000004 (idle), ffffffff81000004"
    told = addresses(text, linked(tmp_path), "x86_64")
    assert told == "CPU 0: ffffffff81000004 stuck() (idle), ffffffff81000004 stuck()"


def test_unknown_address_stays_as_it_is(tmp_path: Path) -> None:
    assert addresses("CPU 0: ffffffff91000001", linked(tmp_path), "x86_64") == "CPU 0: ffffffff91000001"


def test_addresses_without_a_vmlinux_stay_as_they_are(tmp_path: Path) -> None:
    assert addresses("CPU 0: ffffffff81000001", tmp_path / "none", "x86_64") == "CPU 0: ffffffff81000001"


def test_source_line_is_counted_from_one(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "page_alloc.c").write_text("first\nsecond\n")
    assert source_line(tmp_path, "mm/page_alloc.c", 2) == "second"
    assert source_line(tmp_path, "mm/page_alloc.c", 3) == ""
    assert source_line(tmp_path, "mm/page_alloc.c", 0) == ""
    assert source_line(tmp_path, "mm/cma.c", 1) == ""
