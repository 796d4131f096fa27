# SPDX-License-Identifier: GPL-2.0-only
"""The cache stays whole whatever happens: real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kernelgate.cache import LAYOUT, Cache, digest, parse_size
from kernelgate.command import run
from kernelgate.errors import InfrastructureError, UserError

SLOW_MAKER = """
import sys, time
from pathlib import Path
from kernelgate.cache import Cache

root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def make(place):
    (place / "first").write_text("half\\n")
    with log.open("a") as file:
        file.write("made\\n")
    time.sleep(seconds)
    (place / "last").write_text("whole\\n")

Cache(root).publish("trees", "key", make)
"""

DEADLINE_SECONDS = 20.0


def maker(root: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A process that takes SECONDS to make the entry trees/key, and notes in LOG that it began."""
    return python(SLOW_MAKER, [str(root), str(log), str(seconds)])


def python(program: str, args: Sequence[str]) -> subprocess.Popen[bytes]:
    project = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", program, *args], env={**os.environ, "PYTHONPATH": str(project)})


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def whole(place: Path) -> None:
    (place / "first").write_text("half\n")
    (place / "last").write_text("whole\n")


def fail(_place: Path) -> None:
    raise AssertionError("made again")


def test_publish_makes_an_entry_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = cache.publish("trees", "key", whole)
    assert (path / "last").read_text() == "whole\n"
    assert cache.publish("trees", "key", fail) == path


def test_publish_leaves_nothing_of_a_maker_that_raised(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    def half(place: Path) -> None:
        (place / "first").write_text("half\n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.publish("trees", "key", half)
    assert not (cache.root / "trees/key").exists()
    assert list((cache.root / "tmp").iterdir()) == []


def test_publish_after_its_maker_was_killed(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    child = maker(root, log, 60)
    wait_for(log)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (root / "trees/key").exists()
    assert len([path for path in (root / "tmp").iterdir() if path.is_dir()]) == 1

    cache = Cache(root)
    assert list((root / "tmp").iterdir()) == []
    path = cache.publish("trees", "key", whole)
    assert (path / "last").read_text() == "whole\n"


def test_opening_spares_what_a_living_run_makes(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    child = maker(root, log, 1)
    wait_for(log)
    Cache(root)
    assert child.wait(DEADLINE_SECONDS) == 0
    assert (root / "trees/key/last").read_text() == "whole\n"


def test_two_processes_make_an_entry_once(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    children = [maker(root, log, 0.5) for _ in range(2)]
    assert [child.wait(DEADLINE_SECONDS) for child in children] == [0, 0]
    assert log.read_text() == "made\n"
    assert (root / "trees/key/last").read_text() == "whole\n"


WAITER = """
import sys
from pathlib import Path
from kernelgate.cache import Cache

def fail(place):
    raise AssertionError("made again")

cache = Cache(Path(sys.argv[1]))
cache.publish("trees", "key", fail, lambda step: print(step.name, flush=True))
with cache.workplace("trees", "key", lambda step: print(step.name, flush=True)):
    pass
"""


def test_who_waits_for_another_run_says_so(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    child = maker(root, log, 1)
    wait_for(log)
    waited = run([sys.executable, "-c", WAITER, root], env={"PYTHONPATH": str(Path(__file__).parents[2])})
    assert waited.stdout == "wait for another run, which makes trees/key\n"
    assert child.wait(DEADLINE_SECONDS) == 0
    alone = run([sys.executable, "-c", WAITER, root], env={"PYTHONPATH": str(Path(__file__).parents[2])})
    assert alone.stdout == ""


def test_a_workplace_is_for_one_at_a_time_and_keeps_its_files(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from kernelgate.cache import Cache
with Cache(Path(sys.argv[1])).workplace("build", "key") as folder:
    before = (folder / "count").read_text() if (folder / "count").exists() else "0"
    time.sleep(0.3)
    (folder / "count").write_text(str(int(before) + 1))
"""
    root = tmp_path / "cache"
    children = [python(program, [str(root)]) for _ in range(3)]
    assert [child.wait(DEADLINE_SECONDS) for child in children] == [0, 0, 0]
    assert (root / "build/key/count").read_text() == "3"


def test_entries_are_listed_the_least_recently_used_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for key in ("old", "new"):
        cache.publish("trees", key, whole)
    os.utime(cache.root / "trees/old/.used", (1000, 1000))
    assert [entry.key for entry in cache.entries()] == ["old", "new"]
    assert cache.entries()[0].last_used == 1000

    cache.used(cache.root / "trees/old")
    assert [entry.key for entry in cache.entries()] == ["new", "old"]


def test_an_entry_shares_the_size_of_hard_links(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    size = 1 << 20

    def big(place: Path) -> None:
        (place / "file").write_bytes(os.urandom(size))

    original = cache.publish("trees", "original", big)
    assert cache.entries()[0].size == pytest.approx(size, abs=16384)
    cache.publish("trees", "copy", lambda place: (place / "file").hardlink_to(original / "file"))
    assert [entry.size for entry in cache.entries()] == pytest.approx([size / 2, size / 2], abs=16384)


def test_remove(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.publish("trees", "key", whole)
    entry = cache.entries()[0]
    cache.remove(entry)
    cache.remove(entry)  # another run may be quicker
    assert cache.entries() == []
    assert not (cache.root / "trees/key").exists()


def three_entries(root: Path) -> Cache:
    """A cache with a, b and c of a MiB each, used in that order; c holds b's file as well."""
    cache = Cache(root)
    for age, key in ((3000, "a"), (2000, "b"), (1000, "c")):
        folder = cache.publish("trees", key, lambda place: (place / "own").write_bytes(os.urandom(1 << 20)))
        os.utime(folder / ".used", (time.time() - age, time.time() - age))
    (root / "trees/c/shared").hardlink_to(root / "trees/b/own")
    return cache


def test_trim_removes_the_least_recently_used_until_the_rest_fits(tmp_path: Path) -> None:
    cache = three_entries(tmp_path / "cache")
    assert [entry.key for entry in cache.trim(int(2.5 * (1 << 20)))] == ["a"]
    assert [entry.key for entry in cache.entries()] == ["b", "c"]


def test_trim_goes_on_when_hard_links_freed_less_than_counted(tmp_path: Path) -> None:
    cache = three_entries(tmp_path / "cache")
    assert [entry.key for entry in cache.trim(int(1.6 * (1 << 20)))] == ["a", "b", "c"]


def test_trim_of_a_small_cache_removes_nothing(tmp_path: Path) -> None:
    assert three_entries(tmp_path / "cache").trim(1 << 30) == []


def test_trim_older(tmp_path: Path) -> None:
    cache = three_entries(tmp_path / "cache")
    assert [entry.key for entry in cache.trim_older(1500)] == ["a", "b"]
    assert [entry.key for entry in cache.entries()] == ["c"]


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8 << 30), ("1.5m", 3 << 19), ("500MiB", 500 << 20), ("12 ", 12), ("0", 0)]
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "8GG"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UserError, match="is no size: say 8G"):
        parse_size(text)


SCRIPT = Path(__file__).parents[2] / "scripts/cache"


def script(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False)


def test_the_script_shows_and_clears(tmp_path: Path) -> None:
    three_entries(tmp_path / "cache")
    shown = script("--cache", str(tmp_path / "cache"))
    assert shown.returncode == 0
    assert [line.split()[:4] for line in shown.stdout.splitlines()[1:]] == [
        ["trees", "a", "1.0", "MB"],
        ["trees", "b", "0.5", "MB"],
        ["trees", "c", "1.5", "MB"],
        ["total", "3.0", "MB"],
    ]
    assert script("--cache", str(tmp_path / "cache"), "--clear").returncode == 0
    assert Cache(tmp_path / "cache").entries() == []


def test_the_script_refuses_in_one_line(tmp_path: Path) -> None:
    refused = script("--cache", str(tmp_path / "cache"), "--trim", "much")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr == "'much' is no size: say 8G or 500M\n"


def test_a_cache_of_an_older_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "LAYOUT").write_text("0")
    with pytest.raises(UserError, match=f"has layout 0, this project needs {LAYOUT}: remove"):
        Cache(tmp_path)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UserError, match="is not a cache"):
        Cache(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        Cache(tmp_path / "file")


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    def fill(place: Path) -> None:
        with Path("/dev/full").open("w") as full:
            full.write("x" * 100_000)

    with pytest.raises(InfrastructureError, match=r"^the cache: No space left on device: free some space") as caught:
        cache.publish("trees", "key", fill)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["dd", "if=/dev/zero", "of=/dev/full", "count=1"], "^dd: no space left: free some"),
        (["sh", "-c", "echo fatal: sha1 file write error. Out of diskspace >&2; exit 128"], "^sh: no space left"),
    ],
)
def test_a_full_disk_that_a_program_met_is_told_in_one_line(tmp_path: Path, argv: list[str], message: str) -> None:
    cache = Cache(tmp_path / "cache")

    def fill(_place: Path) -> None:
        run(argv)

    with pytest.raises(InfrastructureError, match=message) as caught:
        cache.publish("trees", "key", fill)
    assert "\n" not in str(caught.value)


def test_digest_is_of_names_contents_and_words(tmp_path: Path) -> None:
    one, other = tmp_path / "one.c", tmp_path / "other.c"
    one.write_text("a")
    other.write_text("a")
    seen = {digest([one]), digest([other]), digest([one, other]), digest([one], "-Os"), digest([one], "-O", "s")}
    assert digest([one]) in seen
    one.write_text("b")
    assert len(seen | {digest([one])}) == 6
