# SPDX-License-Identifier: GPL-2.0-only
"""One build folder from patch to patch, and the levels of a series.

The tree is the few lines of test_build; make, gcc, ccache and git are the real ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_kernel import change, format_patches, git
from test_build import FILES, MAKEFILE

from kernelgate import binary, build, forward, levels
from kernelgate.build import Kernel, Order
from kernelgate.cache import Cache
from kernelgate.errors import BuildError, InfrastructureError, UserError
from kernelgate.levels import Levels
from kernelgate.progress import silent
from kernelgate.series import PatchedTree

UNUSED = "int unused; "
ONE = f"int one(void) {{ {UNUSED}return 1; }}\n"
"""Has a warning from the beginning; patch 3 mends it."""


@pytest.fixture
def series(tmp_path: Path) -> Levels:
    """Four patches: a comment, a warning in two.c, the end of the one in one.c, and a comment again."""
    repo = tmp_path / "linux"
    numbers = "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 13\nEXTRAVERSION =\n"
    for name, text in {**FILES, "Makefile": numbers + MAKEFILE, "one.c": ONE}.items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-f", "-A")
    git(repo, "commit", "-q", "-m", "base")
    git(repo, "tag", "base")
    change(repo, "two: say so", "int two", "/* 2 */ int two", "two.c")
    change(repo, "two: warn", "return 2", f"{UNUSED}return 3", "two.c")
    change(repo, "one: no warning", UNUSED, "", "one.c")
    change(repo, "two: three", "/* 2 */", "/* 3 */", "two.c")
    format_patches(repo, tmp_path / "patches")
    return levels.of(str(tmp_path / "patches"), f"git:{repo}@base", tmp_path, Cache(tmp_path / "cache"), silent)


@pytest.fixture
def kconfigs(tmp_path: Path) -> Path:
    folder = tmp_path / "kconfigs"
    folder.mkdir()
    (folder / "configurations.toml").write_text('common = ["base"]\n[configurations.main]\nfragments = []\n')
    (folder / "base.config").write_text("CONFIG_KEPT=y\n")
    return folder


def make(of: Levels, level: int, kconfigs: Path) -> Kernel:
    return forward.make(of.pristine, Order(of.tree(level), "x86_64", "main", of.cache, 2, silent, kconfigs))


def place(of: Levels) -> Path:
    (found,) = (of.cache.root / "forward").iterdir()
    return found


def warned(kernel: Kernel) -> list[str]:
    return [line.split(":")[0].removeprefix("../") for line in kernel.warnings]


def test_each_level_is_the_kernel_that_a_build_of_its_own_makes(series: Levels, kconfigs: Path, tmp_path: Path) -> None:
    elsewhere = Cache(tmp_path / "another")
    for level in (0, 2, 4, 1):
        alone = build.build(Order(series.tree(level), "x86_64", "main", elsewhere, 2, silent, kconfigs))
        kernel = make(series, level, kconfigs)
        assert kernel.vmlinux.read_bytes() == alone.vmlinux.read_bytes()
        assert (kernel.build_id, kernel.key) == (alone.build_id, alone.key)
        assert kernel.source_dir == series.tree(level).path


def test_only_what_a_patch_touches_is_made_again(series: Levels, kconfigs: Path) -> None:
    make(series, 0, kconfigs)
    out = place(series) / "out"
    before = {name: (out / name).stat().st_mtime_ns for name in ("one.o", "two.o")}
    make(series, 1, kconfigs)
    after = {name: (out / name).stat().st_mtime_ns for name in before}
    assert after["one.o"] == before["one.o"]
    assert after["two.o"] > before["two.o"]


def test_the_pristine_tree_and_those_of_the_levels_stay_as_they_are(series: Levels, kconfigs: Path) -> None:
    make(series, 2, kconfigs)
    make(series, 3, kconfigs)
    assert (series.pristine.pristine / "one.c").read_text() == ONE
    assert (series.tree(2).path / "one.c").read_text() == ONE
    assert UNUSED not in (series.tree(3).path / "one.c").read_text()


def test_warnings_are_those_of_all_objects_whichever_were_made(series: Levels, kconfigs: Path) -> None:
    assert [warned(make(series, level, kconfigs)) for level in range(5)] == [
        ["one.c"],
        ["one.c"],
        ["one.c", "two.c"],
        ["two.c"],
        ["two.c"],
    ]


def test_a_finished_level_is_not_made_again(series: Levels, kconfigs: Path) -> None:
    kernel = make(series, 1, kconfigs)
    (place(series) / "tree/Makefile").write_text("$(error make was run)")
    assert make(series, 1, kconfigs) == kernel
    assert not list(kernel.build_dir.rglob("*.o"))
    assert build.build(Order(series.tree(1), "x86_64", "main", series.cache, 2, silent, kconfigs)) == kernel


def test_what_a_killed_run_made_is_made_again_with_its_warnings(
    series: Levels, kconfigs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(series, 1, kconfigs)
    kept = (place(series) / "out/one.o").stat().st_mtime_ns

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(forward.build, "adopt", killed)
        with pytest.raises(KeyboardInterrupt):
            make(series, 2, kconfigs)
    assert not build.is_built(Order(series.tree(2), "x86_64", "main", series.cache, kconfigs=kconfigs))
    assert warned(make(series, 2, kconfigs)) == ["one.c", "two.c"]
    assert (place(series) / "out/one.o").stat().st_mtime_ns == kept


def test_a_git_that_was_killed_half_way_is_no_obstacle(series: Levels, kconfigs: Path) -> None:
    """It leaves its lock, and some of the files of the other level."""
    make(series, 2, kconfigs)
    (place(series) / "BEGUN").touch()
    (place(series) / "index.lock").touch()
    (place(series) / "tree/one.c").unlink()  # others share it
    (place(series) / "tree/one.c").write_text((series.tree(3).path / "one.c").read_text())
    assert warned(make(series, 1, kconfigs)) == ["one.c"]


def test_a_folder_that_was_killed_while_it_was_begun_is_begun_anew(series: Levels, kconfigs: Path) -> None:
    make(series, 0, kconfigs)
    (place(series) / "AT.json").unlink()
    (place(series) / "tree/one.c").unlink()
    assert warned(make(series, 1, kconfigs)) == ["one.c"]


def test_a_level_that_does_not_compile_does_not_spoil_the_next(series: Levels, kconfigs: Path) -> None:
    make(series, 1, kconfigs)
    broken = replace_in(series.tree(2), "int two", "int two(", series)
    with pytest.raises(BuildError, match="it does not compile"):
        forward.make(series.pristine, Order(broken, "x86_64", "main", series.cache, 2, silent, kconfigs))
    alone = Cache(series.root / "another")
    wanted = build.build(Order(series.tree(3), "x86_64", "main", alone, 2, silent, kconfigs))
    assert make(series, 3, kconfigs).vmlinux.read_bytes() == wanted.vmlinux.read_bytes()


def replace_in(tree: PatchedTree, old: str, new: str, of: Levels) -> PatchedTree:
    """TREE with NEW for OLD in two.c, as a commit of its own."""
    repo = of.pristine.repo
    text = (tree.path / "two.c").read_text().replace(old, new)
    (of.root / "text").write_text(text)
    blob = git(repo, "hash-object", "-w", str(of.root / "text")).strip()
    listed = git(repo, "ls-tree", tree.commit).splitlines()
    lines = [f"100644 blob {blob}\ttwo.c" if line.endswith("\ttwo.c") else line for line in listed]
    (of.root / "lines").write_text("\n".join(lines) + "\n")
    made = git(repo, "-c", f"alias.mk=!git mktree < {of.root / 'lines'}", "mk").strip()
    commit = git(repo, "commit-tree", "-p", tree.commit, "-m", "broken", made).strip()
    return replace(tree, commit=commit)


def test_a_full_disk_leaves_no_kernel(series: Levels, kconfigs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tar finds no room: /dev/full would be the device, here it is the folder that cannot be written to."""

    def full(*_: object) -> None:
        raise InfrastructureError("tar: no space left")

    with monkeypatch.context() as patched:
        patched.setattr(forward.build, "pipe", full)
        with pytest.raises(InfrastructureError, match="no space left"):
            make(series, 1, kconfigs)
    assert not build.is_built(Order(series.tree(1), "x86_64", "main", series.cache, kconfigs=kconfigs))
    assert make(series, 1, kconfigs).vmlinux.is_file()


@pytest.mark.parametrize(
    ("line", "made", "changed", "holds"),
    [
        ("../mm/gup.c:1:2: warning: x", (), (), True),
        ("../mm/gup.c:1:2: warning: x", ("mm/gup",), (), False),
        ("../mm/gup.c:1:2: warning: x", ("mm/ksm",), (), True),
        ("../include/linux/mm.h:1:2: warning: x", ("mm/gup",), (), True),
        ("../include/linux/mm.h:1:2: warning: x", ("mm/gup",), ("include/linux/mm.h",), False),
        ("mm/gup.o: warning: objtool: f+0x1: x", ("mm/ksm",), (), True),
        ("mm/gup.o: warning: objtool: f+0x1: x", ("mm/gup",), (), False),
        ("vmlinux.o: warning: objtool: f+0x1: x", (), (), True),
        ("vmlinux.o: warning: objtool: f+0x1: x", ("mm/gup",), (), False),
        ("WARNING: modpost: vmlinux: section mismatch", ("mm/gup",), (), False),
    ],
)
def test_which_warnings_still_hold(line: str, made: tuple[str, ...], changed: tuple[str, ...], holds: bool) -> None:
    assert forward.merged([line], ["fresh"], made, changed) == ([line] if holds else []) + ["fresh"]


# Levels


def test_levels_have_a_commit_each(series: Levels) -> None:
    assert (series.total, len(series.commits), series.commits[0]) == (4, 5, series.pristine.commit)
    assert [series.tree(level).commit for level in range(5)] == list(series.commits)
    assert series.title(0).startswith("the base 7.2.13-git")
    assert series.title(3) == "patch 3 'one: no warning'"


def test_a_comment_is_no_other_kernel(series: Levels, kconfigs: Path) -> None:
    """Patch 1 adds a comment on the same line: another commit, the same code."""
    before, after = make(series, 0, kconfigs), make(series, 1, kconfigs)
    assert before.key != after.key
    assert binary.digest(before.vmlinux) == binary.digest(after.vmlinux)
    assert binary.digest(after.vmlinux) != binary.digest(make(series, 2, kconfigs).vmlinux)


def test_a_range_is_a_series_on_its_own_beginning(series: Levels, tmp_path: Path) -> None:
    ranged = levels.of(f"git:{tmp_path / 'linux'}@base..HEAD", None, tmp_path, series.cache, silent)
    assert ranged.total == 4
    assert ranged.pristine.commit == series.pristine.commit
    assert (ranged.tree(4).path / "one.c").read_text() == (series.tree(4).path / "one.c").read_text()


def test_a_range_the_wrong_way_round_is_refused(series: Levels, tmp_path: Path) -> None:
    swapped = levels.of(f"git:{tmp_path / 'linux'}@HEAD..base", series.pristine.base, tmp_path, series.cache, silent)
    with pytest.raises(UserError, match=r"holds no patches: name them as A\.\.B, the older revision first"):
        swapped.total  # noqa: B018


def test_no_patches_are_nothing_to_walk(series: Levels) -> None:
    with pytest.raises(UserError, match="series none has no patches"):
        replace(series, name="none").patches  # noqa: B018


def test_a_patch_in_the_middle_that_does_not_apply_is_named(series: Levels, tmp_path: Path) -> None:
    second = next((tmp_path / "patches").glob("0002-*"))
    second.write_text(second.read_text().replace("-/* 2 */ int two", "-/* 9 */ int two"))
    assert series.tree(1).series.level == 1
    with pytest.raises(UserError, match=r"patch 2 'two: warn' does not apply to 7\.2\.13.*two\.c"):
        series.tree(2)


def test_what_is_known_of_other_tests_is_another_matter(series: Levels, tmp_path: Path) -> None:
    first = series.key(("a",))
    assert first == series.key(("a",)) != series.key(("b",))
    (tmp_path / "kmod").mkdir()
    (tmp_path / "kmod/kg_new.c").write_text("")
    assert series.key(("a",)) != first
