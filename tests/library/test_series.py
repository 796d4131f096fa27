# SPDX-License-Identifier: GPL-2.0-only
"""Series on a fake kernel, with the real git."""

from __future__ import annotations

import base64
import gzip
import quopri
import shutil
from pathlib import Path

import pytest
from fake_kernel import FILES, change, format_patches, git, kernel, repository, two_patches

from kernelgate.cache import Cache
from kernelgate.errors import UserError
from kernelgate.patches import Patch
from kernelgate.progress import silent
from kernelgate.series import Series, apply, load, manifest
from kernelgate.source import BASES, SourceTree, resolve
from kernelgate.variant import Variant

MANIFEST = """
title = "mm: a series"
variant = "frozen_bit"
bases = ["7.2", "7.3"]

[[known_defect]]
case = "REF-09"
defect = "D6"
since = 2
summary = "a get at INT_MAX"
shows = "looks frozen"
"""
PATCHED = FILES["mm/gup.c"].replace("line 3\n", "line three\n").replace("line 30\n", "line thirty\n")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a kernel with two patches committed on it, and a project with them as the series `two`."""
    folder = tmp_path_factory.mktemp("template")
    linux = two_patches(repository(folder / "linux"))
    series = folder / "project/series/two"
    series.mkdir(parents=True)
    (series / "series.toml").write_text(MANIFEST)
    format_patches(linux, series / "7.2", "--cover-letter")
    return folder


@pytest.fixture
def linux(tmp_path: Path, template: Path) -> Path:
    """A repository of a kernel with two patches committed on it."""
    return Path(shutil.copytree(template / "linux", tmp_path / "linux", symlinks=True))


@pytest.fixture
def root(tmp_path: Path, template: Path) -> Path:
    """A project with the series `two` for 7.2."""
    return Path(shutil.copytree(template / "project", tmp_path / "project"))


@pytest.fixture
def base(tmp_path: Path, cache: Cache) -> SourceTree:
    return resolve(str(kernel(tmp_path / "base")), cache, silent)


def subjects(series: Series) -> list[str]:
    return [f"{patch.number} {patch.subject}" for patch in series.patches]


def refused(name: str, root: Path, message: str, upto: int | None = None) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(name, "7.2.13", upto, root)
    assert "\n" not in str(caught.value)


def test_a_named_series(root: Path) -> None:
    series = load("two", "7.2.13-1", None, root)
    assert subjects(series) == ["1 mm: first", "2 mm: second"]
    assert [patch.files for patch in series.patches] == [("mm/gup.c",), ("mm/gup.c",)]
    assert series.manifest is not None
    assert series.manifest.variant is Variant.FROZEN_BIT
    assert (series.level, series.total) == (2, 2)


@pytest.mark.parametrize(("upto", "expected"), [(0, []), (1, ["1 mm: first"]), (2, ["1 mm: first", "2 mm: second"])])
def test_upto(root: Path, upto: int, expected: list[str]) -> None:
    series = load("two", "7.2.13-1", upto, root)
    assert subjects(series) == expected
    assert series.total == 2


@pytest.mark.parametrize("upto", [-1, 3])
def test_upto_out_of_range(root: Path, upto: int) -> None:
    refused("two", root, f"--upto {upto}: series two has 2 patches: choose from 0 to 2", upto)


def test_none(root: Path) -> None:
    assert load("none", "7.2.13", None, root) == Series("none", (), 0, None)
    refused("none", root, "--upto 1", 1)


def test_an_unknown_name(root: Path) -> None:
    refused("tow", root, "unknown series 'tow': did you mean two")


def test_no_port_for_the_base(root: Path) -> None:
    with pytest.raises(UserError, match=r"series two has no port for 6\.12: it has 7\.2"):
        load("two", "6.12.117-1~deb12u1", None, root)


def test_a_prerelease_has_the_port_of_its_release(root: Path) -> None:
    (root / "series/two/7.2").rename(root / "series/two/7.3")
    assert load("two", "7.3~rc7-1~exp1", None, root).level == 2
    assert load("two", "7.3.0-rc7", None, root).level == 2


def test_a_folder_outside_the_project(root: Path, tmp_path: Path) -> None:
    copy = (root / "series/two").rename(tmp_path / "elsewhere")
    series = load(str(copy), "7.2.13", None, root)
    assert subjects(series) == ["1 mm: first", "2 mm: second"]
    assert series.manifest is not None


def test_a_folder_of_patches_goes_by_its_numbers(tmp_path: Path, linux: Path, root: Path) -> None:
    for number in range(3, 12):
        change(linux, f"mm: {number}", f"line {number + 10}\n", f"LINE {number}\n")
    folder = format_patches(linux, tmp_path / "patches")
    for path in folder.iterdir():
        path.rename(folder / path.name.lstrip("0"))
    (folder / "README").write_text("not a patch\n")
    assert subjects(load(str(folder), "7.2.13", None, root))[1:3] == ["2 mm: second", "3 mm: 3"]


def test_a_bare_diff(tmp_path: Path, linux: Path, root: Path, cache: Cache, base: SourceTree) -> None:
    folder = tmp_path / "diffs"
    folder.mkdir()
    (folder / "0001-both.diff").write_text(git(linux, "diff", "base", "HEAD"))
    series = load(str(folder), "7.2.13", None, root)
    assert subjects(series) == ["1 both"]
    assert (apply(series, base, cache, silent).path / "mm/gup.c").read_text() == PATCHED


def test_an_empty_folder(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(str(tmp_path / "empty"), root, "empty holds no patches: put NNNN-")


def test_a_range(linux: Path, root: Path) -> None:
    status = git(linux, "status", "--porcelain")
    series = load(f"git:{linux}@base..HEAD", "7.2.13", None, root)
    assert subjects(series) == ["1 mm: first", "2 mm: second"]
    assert git(linux, "status", "--porcelain") == status


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("git:{linux}@HEAD..base", "holds no patches: name them as A..B, the older revision first"),
        ("git:{linux}@HEAD", "say git:PATH@A..B"),
        ("git:{linux}@base..nosuch", "ambiguous argument|unknown revision"),
        ("git:{linux}/nosuch@a..b", "does not exist"),
    ],
)
def test_a_range_that_is_none(linux: Path, root: Path, name: str, message: str) -> None:
    refused(name.format(linux=linux), root, message)


def test_apply(root: Path, base: SourceTree, cache: Cache) -> None:
    tree = apply(load("two", base.version, None, root), base, cache, silent)
    assert (tree.path / "mm/gup.c").read_text() == PATCHED
    assert (tree.path / "scripts/link").is_symlink()
    assert (tree.path / "scripts/checker.sh").stat().st_mode & 0o777 == 0o755
    assert (tree.path / "ignored.tmp").read_text() == FILES["ignored.tmp"]
    log = git(base.repo, "log", "--format=%s", tree.commit).splitlines()
    assert log == ["mm: second", "mm: first", f"Linux {base.version}"]
    assert git(base.repo, "show", f"{tree.commit}:mm/gup.c") == PATCHED
    nobody = git(base.repo, "log", "-1", "--format=%an %ae %at %cn %ce %ct", tree.commit).strip()
    assert nobody == "kernelgate kernelgate@localhost 1000000000 kernelgate kernelgate@localhost 1000000000"


def test_apply_leaves_the_pristine_tree_alone_and_shares_its_files(root: Path, base: SourceTree, cache: Cache) -> None:
    tree = apply(load("two", base.version, None, root), base, cache, silent)
    assert (base.pristine / "mm/gup.c").read_text() == FILES["mm/gup.c"]
    assert (tree.path / "Kconfig").samefile(base.pristine / "Kconfig")
    assert not (tree.path / "mm/gup.c").samefile(base.pristine / "mm/gup.c")


def test_a_tree_that_somebody_writes_into_is_noticed(root: Path, base: SourceTree, cache: Cache) -> None:
    """Of a file that it shares with others, of one that a patch has made, and of one that is gone."""
    tree = apply(load("two", base.version, None, root), base, cache, silent)
    assert tree.changed() == []
    shared, patched = tree.path / "Kconfig", tree.path / "mm/gup.c"
    with shared.open("a") as file:
        file.write("more\n")
    patched.unlink()
    assert set(tree.changed()) == {"Kconfig", "mm/gup.c"}
    shared.write_text(FILES["Kconfig"])
    patched.write_text(FILES["mm/gup.c"])
    assert tree.changed() == ["mm/gup.c"]


def test_each_level_is_a_tree_of_its_own(root: Path, base: SourceTree, cache: Cache) -> None:
    trees = [apply(load("two", base.version, upto, root), base, cache, silent) for upto in (0, 1, 2)]
    assert trees[0].path == base.pristine
    assert len({tree.path for tree in trees}) == 3
    assert git(base.repo, "rev-parse", f"{trees[2].commit}^").strip() == trees[1].commit
    assert git(base.repo, "rev-parse", f"{trees[1].commit}^").strip() == trees[0].commit == base.commit
    assert "line thirty\n" not in (trees[1].path / "mm/gup.c").read_text()


def test_a_series_is_the_same_commit_everywhere(root: Path, tmp_path: Path) -> None:
    commits = set()
    linux = kernel(tmp_path / "base")
    for name in ("cache1", "cache2"):
        cache = Cache(tmp_path / name)
        base = resolve(str(linux), cache, silent)
        commits.add(apply(load("two", "7.2.13", None, root), base, cache, silent).commit)
    assert len(commits) == 1


def test_a_tree_is_made_once(root: Path, base: SourceTree, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    series = load("two", base.version, None, root)
    tree = apply(series, base, cache, silent)
    monkeypatch.setenv("PATH", "")
    assert apply(series, base, cache, silent) == tree


def test_new_deleted_and_renamed_files(tmp_path: Path, linux: Path, root: Path, base: SourceTree, cache: Cache) -> None:
    (linux / "mm/new.c").write_text("new\n")
    git(linux, "add", "mm/new.c")
    git(linux, "rm", "-q", "ignored.tmp")
    git(linux, "mv", "mm/gup.c", "mm/slow_gup.c")
    git(linux, "commit", "-q", "-m", "mm: move things")
    series = load(str(format_patches(linux, tmp_path / "patches", "-M")), "7.2.13", None, root)
    tree = apply(series, base, cache, silent)
    assert (tree.path / "mm/new.c").read_text() == "new\n"
    assert (tree.path / "mm/slow_gup.c").read_text() == PATCHED
    assert not (tree.path / "mm/gup.c").exists()
    assert not (tree.path / "ignored.tmp").exists()


def test_a_patch_that_does_not_apply(root: Path, tmp_path: Path, cache: Cache) -> None:
    linux = kernel(tmp_path / "base")
    (linux / "mm/gup.c").write_text(FILES["mm/gup.c"].replace("line 31\n", "line XXXI\n"))
    base = resolve(str(linux), cache, silent)
    message = r"^patch 2 'mm: second' does not apply to 7\.2\.13-dir\w+: mm/gup\.c, hunk 1, line 27$"
    with pytest.raises(UserError, match=message):
        apply(load("two", base.version, None, root), base, cache, silent)
    assert not (cache.root / "trees").exists() or list((cache.root / "trees").iterdir()) == []
    assert list((cache.root / "tmp").iterdir()) == []
    apply(load("two", base.version, 1, root), base, cache, silent)


def test_the_hunk_that_does_not_apply_is_counted(tmp_path: Path, root: Path, cache: Cache) -> None:
    linux = repository(tmp_path / "linux2")
    (linux / "mm/gup.c").write_text(PATCHED)
    (linux / "Kconfig").write_text("other\n")
    git(linux, "commit", "-q", "-a", "-m", "mm: two files, three hunks")
    patches = format_patches(linux, tmp_path / "patches")
    (tmp_path / "base").mkdir()
    (kernel(tmp_path / "base") / "mm/gup.c").write_text(FILES["mm/gup.c"].replace("line 31\n", "line XXXI\n"))
    base = resolve(str(tmp_path / "base"), cache, silent)
    with pytest.raises(UserError, match=r"patch 1 'mm: two files, three hunks' .*: mm/gup\.c, hunk 2, line 27$"):
        apply(load(str(patches), base.version, None, root), base, cache, silent)


def test_a_file_that_the_base_lacks(tmp_path: Path, root: Path, cache: Cache) -> None:
    (kernel(tmp_path / "base") / "mm/gup.c").unlink()
    base = resolve(str(tmp_path / "base"), cache, silent)
    with pytest.raises(UserError, match=r"patch 1 'mm: first' does not apply .*: mm/gup\.c: does not exist in index$"):
        apply(load("two", base.version, None, root), base, cache, silent)


NEW_FILE = """--- /dev/null
+++ b/{name}
@@ -0,0 +1 @@
+x
"""
IN_PLACE = """--- {name}
+++ {name}
@@ -1 +1 @@
-x
+y
"""
SYMLINK = """diff --git a/mm/link b/mm/link
new file mode 120000
index 0000000..1111111
--- /dev/null
+++ b/mm/link
@@ -0,0 +1 @@
+/etc/passwd
\\ No newline at end of file
"""
INTO_SYMLINK = """diff --git a/mm/gup.c b/mm/gup.c
old mode 100644
new mode 120000
"""
SUBMODULE = """diff --git a/sub b/sub
new file mode 160000
index 0000000..1111111
--- /dev/null
+++ b/sub
@@ -0,0 +1 @@
+Subproject commit 1111111111111111111111111111111111111111
"""
BINARY = """diff --git a/logo.bin b/logo.bin
index 1111111..2222222 100644
Binary files a/logo.bin and b/logo.bin differ
"""
CORRUPT = """--- a/mm/gup.c
+++ b/mm/gup.c
@@ -1,3 +1,3 @@
 line 1
"""
OUTSIDE = "touches a path outside the tree, "


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        (NEW_FILE.format(name="../../escape"), OUTSIDE + r"\.\./\.\./escape: only text files"),
        (NEW_FILE.format(name="mm/../../escape"), OUTSIDE),
        (IN_PLACE.format(name="/etc/hostname"), OUTSIDE + "/etc/hostname"),
        (NEW_FILE.format(name="/etc/hostname"), OUTSIDE + "/etc/hostname"),
        (SYMLINK, "touches a symlink or submodule, mm/link"),
        (INTO_SYMLINK, "touches a symlink or submodule, mm/gup.c"),
        (SUBMODULE, "touches a symlink or submodule, sub"),
        (BINARY, "touches a binary file, logo.bin"),
        (CORRUPT, "is no patch: corrupt patch at line"),
        ("Just words.\n", "is no patch: there is no diff in it"),
    ],
)
def test_what_a_patch_may_not_do(tmp_path: Path, diff: str, message: str) -> None:
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "0001-bad.patch").write_text(diff)
    refused(str(folder), tmp_path, rf"0001-bad\.patch: patch 1 'bad' {message}")


def test_a_diff_that_slips_through_writes_nothing_outside(base: SourceTree, cache: Cache, tmp_path: Path) -> None:
    escape = Patch(1, "escape", NEW_FILE.format(name="../../../escape").encode(), ())
    with pytest.raises(UserError, match=r"invalid path '\.\./\.\./\.\./escape'"):
        apply(Series("bad", (escape,), 1, None), base, cache, silent)
    assert list(tmp_path.rglob("escape")) == []


# The mbox, as an archive saves a thread


def mail(subject: str, body: str, extra: str = "") -> str:
    return (
        "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
        "From: A Person <person@example.org>\nDate: Mon, 8 Jun 2026 21:53:00 +0000\n"
        f"Subject: {subject}\n{extra}\n{body}\n"
    )


def diffs(linux: Path) -> tuple[str, str]:
    return git(linux, "diff", "base", "HEAD^"), git(linux, "diff", "HEAD^", "HEAD")


def quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.splitlines())


def thread(linux: Path) -> list[str]:
    """Cover letter, the patches in the wrong order, and what people replied."""
    first, second = diffs(linux)
    return [
        mail("[PATCH v4 0/2] mm: a series", f"About it.\n\n mm/gup.c | 2 +-\n\n{first}"),
        mail("[RFC PATCH\n v4 2/2] mm: second", f"Because.\n---\n mm/gup.c | 2 +-\n\n{second}\n-- \n2.54.0\n"),
        mail("Re: [PATCH v4 1/2] mm: first", quoted(first) + "\nI would write:\n\n" + second),
        mail(
            "[PATCH v4 1/2] mm: first", f"From: B <b@example.org>\n\nFrom what I see.\n\n>From here on.\n---\n{first}"
        ),
        mail("a question", "What is this?"),
    ]


def write_mbox(path: Path, mails: list[str]) -> str:
    path.write_text("".join(mails))
    return str(path)


def test_mbox(tmp_path: Path, linux: Path, root: Path, base: SourceTree, cache: Cache) -> None:
    series = load(write_mbox(tmp_path / "thread.mbox", thread(linux)), "7.2.13", None, root)
    assert subjects(series) == ["1 mm: first", "2 mm: second"]
    assert (apply(series, base, cache, silent).path / "mm/gup.c").read_text() == PATCHED


def test_a_compressed_mbox(tmp_path: Path, linux: Path, root: Path) -> None:
    path = tmp_path / "t.mbox.gz"
    path.write_bytes(gzip.compress("".join(thread(linux)).encode()))
    assert subjects(load(str(path), "7.2.13", None, root)) == ["1 mm: first", "2 mm: second"]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit and carriage returns"])
def test_an_encoded_mail(
    tmp_path: Path, linux: Path, root: Path, base: SourceTree, cache: Cache, encoding: str
) -> None:
    body = git(linux, "diff", "base", "HEAD")
    if encoding == "base64":
        body = base64.encodebytes(body.encode()).decode()
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body.encode()).decode()
    else:
        body = body.replace("\n", "\r\n")
    header = f"Content-Transfer-Encoding: {encoding.split()[0]}\nContent-Type: text/plain; charset=utf-8\n"
    name = write_mbox(tmp_path / "mbox", [mail("=?utf-8?q?=5BPATCH=5D_mm=3A_b=C3=B6th?=", body, header)])
    series = load(name, "7.2.13", None, root)
    assert subjects(series) == ["1 mm: böth"]
    assert (apply(series, base, cache, silent).path / "mm/gup.c").read_text() == PATCHED


def test_a_single_mail(tmp_path: Path, linux: Path, root: Path) -> None:
    body = mail("[PATCH] mm: both", git(linux, "diff", "base", "HEAD")).partition("\n")[2]
    (tmp_path / "one.eml").write_text(body)
    assert subjects(load(str(tmp_path / "one.eml"), "7.2.13", None, root)) == ["1 mm: both"]


@pytest.mark.parametrize(
    ("mails", "message"),
    [
        (
            ("[PATCH v3 1/2] a", "[PATCH v4 1/2] a", "[PATCH v4 2/2] b"),
            "holds v3, v4 of the series: save the thread of",
        ),
        (("[PATCH 1/2] a", "[PATCH v2 2/2] b"), "holds v1, v2 of the series"),
        (("[PATCH 1/3] a", "[PATCH 3/3] c"), "lacks patch 2 of 3: save the whole thread"),
        (("[PATCH 1/2] a", "[PATCH 1/2] other", "[PATCH 2/2] b"), "holds two different patches 1/2"),
        (("[PATCH 1/2] a", "[PATCH 2/2] b", "[PATCH 3/3] c"), "save the thread of one series"),
        (("Re: [PATCH 1/2] a", "hello"), "holds no patches"),
        ((), "holds no patches"),
    ],
)
def test_an_mbox_that_is_not_one_series(
    tmp_path: Path, linux: Path, root: Path, mails: tuple[str, ...], message: str
) -> None:
    first, second = diffs(linux)
    texts = [mail(subject, second if subject.endswith(("other", "b")) else first) for subject in mails]
    refused(write_mbox(tmp_path / "thread.mbox", texts), root, message)


def test_a_patch_that_came_twice_counts_once(tmp_path: Path, linux: Path, root: Path) -> None:
    first, second = diffs(linux)
    mails = [mail("[PATCH 1/2] a", first), mail("[PATCH 2/2] b", second), mail("[PATCH 1/2] a", first)]
    assert subjects(load(write_mbox(tmp_path / "m", mails), "7.2.13", None, root)) == ["1 a", "2 b"]


def test_bytes_that_are_no_text_survive(tmp_path: Path, root: Path, cache: Cache) -> None:
    linux = repository(tmp_path / "linux2")
    latin = FILES["mm/gup.c"].encode().replace(b"line 7\n", b"/* Andr\xe9 */\n")
    (linux / "mm/gup.c").write_bytes(latin)
    git(linux, "commit", "-q", "-a", "-m", "mm: latin")
    base = resolve(str(kernel(tmp_path / "base")), cache, silent)
    for name in (str(format_patches(linux, tmp_path / "patches")), f"git:{linux}@base..HEAD"):
        tree = apply(load(name, "7.2.13", None, root), base, cache, silent)
        assert (tree.path / "mm/gup.c").read_bytes() == latin


def test_manifests_of_the_project_are_sound() -> None:
    root = Path(__file__).parents[2]
    names = [path.parent.name for path in root.glob("series/*/series.toml")]
    assert names
    for name in names:
        found = manifest(name, root)
        assert found is not None
        assert all((root / "series" / name / base).is_dir() for base in found.bases)


def test_a_run_without_patches_is_on_the_base_of_the_default_series() -> None:
    chosen = manifest("frozen-bit-v4", Path(__file__).parents[2])
    assert chosen
    assert BASES[0] == chosen.bases[0] == "7.2"
