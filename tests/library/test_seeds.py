# SPDX-License-Identifier: GPL-2.0-only
"""A seed is in its patch and stays, later patches go on from it, and the series that comes of it applies."""

import re
from pathlib import Path

import pytest

from kernelgate import catalogue, patches, seeds
from kernelgate.command import run
from kernelgate.errors import UserError
from kernelgate.patches import Patch
from kernelgate.seeds import Edit, Seed

ROOT = Path(__file__).parents[2]
KNOWN = seeds.read(ROOT / seeds.FILE)

LINES = [f"line {number}\n" for number in range(30)]


def level(number: int) -> dict[str, str]:
    """What the files are after patch NUMBER: each adds a line to a.c, the second one to b.c too."""
    a, b = list(LINES), list(LINES)
    for patch, at in ((1, 5), (2, 15), (3, 25)):
        if number >= patch:
            a[at] = f"patch {patch}\n{a[at]}"
    if number >= 2:
        b[10] = "patch 2\n"
    return {"a.c": "".join(a), "b.c": "".join(b)}


SERIES = (
    Patch(1, "first", b"", ("a.c",)),
    Patch(2, "second", b"", ("a.c", "b.c")),
    Patch(3, "third", b"", ("a.c",)),
)


def seed(*edits: Edit) -> Seed:
    return Seed("name", "kind", 2, ("FP-07",), "debug_vm", edits)


def applied(tmp_path: Path, mails: list[str]) -> list[dict[str, str]]:
    """The files after each of MAILS, as git applies them to the base."""
    found = []
    for name, text in level(0).items():
        (tmp_path / name).write_text(text)
    for mail in mails:
        run(["git", "apply"], cwd=tmp_path, stdin=mail)
        found.append({name: (tmp_path / name).read_text() for name in level(0)})
    return found


def made(*edits: Edit) -> list[str]:
    return seeds.patches(seed(*edits), SERIES, lambda number, file: level(number)[file])


def test_without_an_edit_the_series_is_what_it_was(tmp_path: Path) -> None:
    assert applied(tmp_path, made()) == [level(1), level(2), level(3)]


def test_a_seed_is_in_its_patch_and_stays(tmp_path: Path) -> None:
    before, *after = applied(tmp_path, made(Edit(2, "a.c", "patch 2\n", "mistake\n")))
    assert before == level(1)
    for number, files in enumerate(after, 2):
        assert files == level(number) | {"a.c": level(number)["a.c"].replace("patch 2\n", "mistake\n")}


def test_a_seed_may_be_in_a_file_that_its_patch_leaves_alone(tmp_path: Path) -> None:
    found = applied(tmp_path, made(Edit(1, "b.c", "line 20\n", "mistake\n")))
    assert [files["b.c"].count("mistake") for files in found] == [1, 1, 1]
    assert found[2]["b.c"].count("patch 2") == 1


def test_a_later_edit_takes_back_an_earlier_one(tmp_path: Path) -> None:
    there, back = Edit(1, "a.c", "line 20\n", "mistake\n"), Edit(3, "a.c", "mistake\n", "line 20\n")
    found = applied(tmp_path, made(there, back))
    assert ["mistake" in files["a.c"] for files in found] == [True, True, False]
    assert found[2] == level(3)


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(UserError, match=r"patch 1, a\.c: the text of the seed stands there 0 times"):
        made(Edit(1, "a.c", "patch 2\n", ""))
    with pytest.raises(UserError, match="stands there 11 times"):
        made(Edit(1, "b.c", "line 1", ""))


def test_a_later_patch_about_the_same_lines_is_refused() -> None:
    with pytest.raises(UserError, match=r"patch 2 'second' is about the same lines of b\.c as the seed"):
        made(Edit(1, "b.c", "line 10\n", "mistake\n"))


def test_the_series_that_is_written_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "series" / KNOWN.series).mkdir(parents=True)
    (tmp_path / "series" / KNOWN.series / "series.toml").write_text("title = 't'\n")
    folder = tmp_path / "seeded"
    for _ in range(2):  # a second time as well
        seeds.write_series(seed(), KNOWN, made(), tmp_path, folder)
    found = patches.from_folder(folder / KNOWN.base)
    assert [(patch.number, patch.subject, patch.files) for patch in found] == [
        (patch.number, patch.subject, patch.files) for patch in SERIES
    ]
    assert (folder / "series.toml").read_text() == "title = 't'\n"


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds something else \(thesis\.tex\): name a new folder"):
        seeds.write_series(seed(), KNOWN, made(), tmp_path, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_unknown_seed_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown seed 'bilk': did you mean bulk"):
        seeds.chosen(KNOWN, "bilk")


@pytest.mark.parametrize(("old", "said"), [('name = "x"', "KeyError: 'name'"), ("[[seed]]", "KeyError: 'seed'")])
def test_a_wrong_file_is_named(tmp_path: Path, old: str, said: str) -> None:
    text = 'series = "s"\nbase = "6.1"\n[[seed]]\nname = "x"\nkind = "k"\nculprit = 1\ncases = []\nedit = []\n'
    (tmp_path / "seeds.toml").write_text(text.replace(old, ""))
    with pytest.raises(UserError, match=rf"seeds\.toml: {re.escape(said)}"):
        seeds.read(tmp_path / "seeds.toml")


def test_there_are_the_seeds_that_were_asked_for() -> None:
    """Issue 4, section 5: at least six patches, one not there each time, one with two patches that do not build."""
    entries = catalogue.read(ROOT / catalogue.FILE)
    assert len({each.culprit for each in KNOWN.seeds.values()}) >= 6
    assert {"missed caller", "initialised twice", "wrong free"} <= {each.kind for each in KNOWN.seeds.values()}
    assert {"now-and-then", "unbuildable", "slab", "bulk", "policy"} <= set(KNOWN.seeds)
    for each in KNOWN.seeds.values():
        assert each.culprit in {edit.patch for edit in each.edits}
        assert set(each.cases) <= set(entries)
