# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernelgate.errors import UserError
from kernelgate.manifest import KnownDefect, Manifest, Posted, read
from kernelgate.variant import Assertions, Variant

SERIES = Path(__file__).parents[2] / "series"

FULL = """
title = "mm: a series"
variant = "frozen_bit"
assertions = "warn"
bases = ["7.2", "7.3"]
authors = ["A Person", "B Person"]

[posted]
link = "https://example.org/1"
message_id = "1@example.org"

[[known_defect]]
case = ["REF-09", "REF-10"]
defect = "D6"
since = 2
summary = "a get at INT_MAX"
shows = "looks frozen"
test = ["get_at_int_max", "another"]
bases = ["7.2"]
arches = ["arm64"]
configs = ["debug_vm"]
mended_by = "other/0003"

[[known_defect]]
case = "INV-01"
defect = "D10"
since = 1
summary = "without the bit"
shows = "raw 0"
spreads = true
must_show = ["INV-01", "FP-01"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "series.toml"
    path.write_text(text)
    return path


def test_all_keys(tmp_path: Path) -> None:
    assert read(written(tmp_path, FULL)) == Manifest(
        title="mm: a series",
        variant=Variant.FROZEN_BIT,
        bases=("7.2", "7.3"),
        authors=("A Person", "B Person"),
        posted=Posted("https://example.org/1", "1@example.org"),
        known_defects=(
            KnownDefect(
                cases=("REF-09", "REF-10"),
                defect="D6",
                since=2,
                summary="a get at INT_MAX",
                shows=re.compile("looks frozen"),
                tests=("get_at_int_max", "another"),
                bases=("7.2",),
                arches=("arm64",),
                configs=("debug_vm",),
                mended_by="other/0003",
            ),
            KnownDefect(
                cases=("INV-01",),
                defect="D10",
                since=1,
                summary="without the bit",
                shows=re.compile("raw 0"),
                tests=(),
                bases=(),
                arches=(),
                configs=(),
                mended_by=None,
                spreads=True,
                must_show=("INV-01", "FP-01"),
            ),
        ),
        assertions=Assertions.WARN,
    )


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    manifest = read(written(tmp_path, 'title = "t"\nvariant = "asserts"\nbases = ["7.2"]\n'))
    assert manifest == Manifest("t", Variant.ASSERTS, ("7.2",), (), None, (), Assertions.BUG)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "mm: a series"', "", "title: is missing"),
        ('title = "mm: a series"', "title = 3", "title: must be a text in quotes"),
        pytest.param(
            '"frozen_bit"', '"frozen"', "variant: unknown variant 'frozen': did you mean frozen_bit", id="variant"
        ),
        pytest.param('variant = "frozen_bit"', "", "variant: is missing", id="no variant"),
        pytest.param(
            '"warn"', '"warning"', "assertions: unknown assertions 'warning': did you mean warn", id="assertions"
        ),
        ('bases = ["7.2", "7.3"]', "bases = []", "bases: must name at least one base"),
        ('bases = ["7.2", "7.3"]', 'bases = "7.2"', "bases: must be a list of texts"),
        ('authors = ["A Person", "B Person"]', "authors = [1]", "authors: must be a list of texts"),
        ("message_id", "message", "posted.message_id: is missing"),
        ("[posted]", "[[posted]]", "posted: must be a table: [posted]"),
        ("since = 2", 'since = "2"', "known_defect 1: since: must be a number from 0 on"),
        ("since = 2", "since = -1", "known_defect 1: since: must be a number from 0 on"),
        ("since = 2", "since = true", "known_defect 1: since: must be a number from 0 on"),
        ('case = "INV-01"', "", "known_defect 2: case: is missing"),
        ('case = "INV-01"', "case = [3]", "known_defect 2: case: must be a list of texts"),
        ("mended_by", "mendedby", "known_defect 1: mendedby: is not a key of this file"),
        ("authors", "author", "author: is not a key of this file"),
        ("[[known_defect]]", "[known_defect]", "Cannot declare|Cannot overwrite"),
        ("bases = [", "bases = ", "(at line 5"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FULL
    path = written(tmp_path, FULL.replace(old, new))
    with pytest.raises(UserError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert any(part in said for part in message.split("|"))


def test_a_table_where_tables_are_due(tmp_path: Path) -> None:
    path = written(tmp_path, 'title = "t"\nvariant = "asserts"\nbases = ["7.2"]\n[known_defect]\ncase = "REF-01"\n')
    with pytest.raises(UserError, match=re.escape("known_defect: must be tables: [[known_defect]]")):
        read(path)


DEFECT = KnownDefect(
    ("REF-09",), "D6", 2, "", re.compile("raw [0-9a-f]+"), None, ("7.2",), ("arm64",), ("debug_vm",), None
)


@pytest.mark.parametrize(
    ("level", "base", "arch", "config", "expected"),
    [
        (2, "7.2", "arm64", "debug_vm", True),
        (3, "7.2", "arm64", "debug_vm", True),
        (1, "7.2", "arm64", "debug_vm", False),
        (2, "7.3", "arm64", "debug_vm", False),
        (2, "7.2", "x86_64", "debug_vm", False),
        (2, "7.2", "arm64", "production", False),
    ],
)
def test_where_a_known_defect_holds(level: int, base: str, arch: str, config: str, expected: bool) -> None:
    assert DEFECT.holds(level, base, arch, config) is expected


def test_a_known_defect_without_limits_holds_everywhere() -> None:
    assert KnownDefect(("REF-09",), "D6", 2, "", re.compile("raw [0-9a-f]+"), None, (), (), (), None).holds(
        2, "6.1", "x86_64", "production"
    )


@pytest.mark.parametrize("path", sorted(SERIES.glob("*/series.toml")), ids=lambda path: path.parent.name)
def test_the_projects_own_series_are_whole(path: Path) -> None:
    manifest = read(path)
    for base in manifest.bases:
        patches = list((path.parent / base).glob("[0-9][0-9][0-9][0-9]-*.patch"))
        assert patches, f"{path.parent} has no patches for {base}"
        assert all(defect.since <= len(patches) for defect in manifest.known_defects)


def _mends(patch: str, base: str) -> list[Path]:
    """The patches that `mended_by` PATCH names on BASE; numbers differ from base to base, names do not."""
    series, _, name = patch.partition("/")
    return list((SERIES / series / base).glob(f"[0-9][0-9][0-9][0-9]-{name}.patch"))


@pytest.mark.parametrize("path", sorted(SERIES.glob("*/series.toml")), ids=lambda path: path.parent.name)
def test_each_known_defect_names_the_patch_that_mends_it(path: Path) -> None:
    manifest = read(path)
    for defect in manifest.known_defects:
        for base in defect.bases or manifest.bases:
            assert defect.mended_by is None or len(_mends(defect.mended_by, base)) == 1, f"{base}: {defect}"


def test_a_defect_of_the_base_needs_no_patch_to_show(tmp_path: Path) -> None:
    text = FULL.replace("since = 2", "since = 0").replace('configs = ["debug_vm"]\n', "")
    defect = read(written(tmp_path, text)).known_defects[0]
    assert defect.holds(0, "7.2", "arm64", "debug_vm")
    assert "(not of the series, mended by other/0003)" in str(defect)


def test_a_known_defect_is_recognised_by_its_own_words_only() -> None:
    assert DEFECT.shows_in("failed: the get left raw 80000000")
    assert not DEFECT.shows_in("failed: the guest died")


def test_what_it_shows_must_be_a_regular_expression(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shows: is no regular expression"):
        read(written(tmp_path, FULL.replace("looks frozen", "looks (frozen")))


def test_what_must_show_a_defect_is_asked_of_one_that_spreads(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must_show: is for a defect that spreads"):
        read(written(tmp_path, FULL.replace("spreads = true", "")))


def test_whether_it_spreads_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="spreads: must be true or false"):
        read(written(tmp_path, FULL.replace("spreads = true", 'spreads = "yes"')))
