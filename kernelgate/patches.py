# SPDX-License-Identifier: GPL-2.0-only
"""Patches as they come: files in a folder, an mbox, a range of commits.

git splits, decodes and reads them (mailsplit, mailinfo, apply), as git-am would;
here it is only decided which mails are the series and in which order.
"""

from __future__ import annotations

import email
import email.policy
import gzip
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.command import run
from kernelgate.errors import UserError
from kernelgate.git import ENVIRONMENT, user_git

_TAG = re.compile(r"\s*\[([^\]]*\bPATCH\b[^\]]*)\]", re.IGNORECASE)
_COUNTER = re.compile(r"\b(\d+)/(\d+)\b")
_VERSION = re.compile(r"\bv(\d+)\b", re.IGNORECASE)
_TAGS = re.compile(r"^(\s*\[[^\]]*\])+\s*")
_DIFF = re.compile(rb"^(diff --git |--- \S+.*\n\+\+\+ )", re.MULTILINE)
_HEADER = re.compile(rb"^--- (\S+).*\n\+\+\+ (\S+).*\n@@ -", re.MULTILINE)
_ODD_MODE = re.compile(r"^ (?:create mode|delete mode|mode change \d+ =>) 1[26]0000 (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """One patch: its place in the series from 1, its subject without tags, its diff, and the files it touches."""

    number: int
    subject: str
    diff: bytes
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"patch {self.number} '{self.subject}'"


@dataclass(frozen=True)
class Mail:
    """One mail with a diff; number and total are those of [PATCH n/m], version that of [PATCH vN]."""

    subject: str
    diff: bytes
    version: int
    number: int | None
    total: int | None


def from_folder(folder: Path, origin: str | None = None) -> tuple[Patch, ...]:
    """The patches of FOLDER (*.patch, *.diff) in the order of their numbers or names; a cover letter is passed over.

    ORIGIN is what errors call the folder.
    Raises UserError when there is none, or one that may not be applied.
    """
    paths = [path for path in folder.iterdir() if path.suffix in (".patch", ".diff")]
    paths = [path for path in sorted(paths, key=_place) if not path.name.startswith("0000-")]
    if not paths:
        raise UserError(f"{folder} holds no patches: put NNNN-*.patch there")
    return tuple(_patch(number, *_read(path), origin or str(path)) for number, path in enumerate(paths, 1))


def from_mbox(path: Path) -> tuple[Patch, ...]:
    """The patches of the mbox at PATH (.gz too), by their [n/m]; cover letter and replies are passed over.

    Raises UserError when they are not one whole version of one series.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = folder / "mbox"
        box.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        mails = _split(box, folder, str(path))
    ordered = in_order(mails, str(path))
    return tuple(_patch(number, mail.subject, mail.diff, str(path)) for number, mail in enumerate(ordered, 1))


def from_range(path: Path, commits: str) -> tuple[Patch, ...]:
    """The commits A..B of the repository at PATH, which is only read; merges are passed over.

    Raises UserError for an unknown revision and for an empty range.
    """
    shape = ("--no-attach", "--no-cover-letter", "--no-signature", "--no-renames", "--no-ext-diff", "--numbered")
    names = ("--subject-prefix=PATCH", "--src-prefix=a/", "--dst-prefix=b/", "--full-index", "--binary")
    with tempfile.TemporaryDirectory() as folder:
        user_git(path, "format-patch", "--quiet", f"--output-directory={folder}", *shape, *names, commits)
        if not any(Path(folder).iterdir()):
            raise UserError(f"git:{path}@{commits} holds no patches: name them as A..B, the older revision first")
        return from_folder(Path(folder), f"git:{path}@{commits}")


def in_order(mails: Sequence[Mail], origin: str) -> list[Mail]:
    """MAILS by their numbers. Raises UserError unless they are one whole version, each patch once."""
    versions = sorted({mail.version for mail in mails})
    if not mails:
        raise UserError(f"{origin} holds no patches: save the thread of a series, its patches included")
    if len(versions) > 1:
        listed = ", ".join(f"v{version}" for version in versions)
        raise UserError(f"{origin} holds {listed} of the series: save the thread of one version")
    if all(mail.number is None for mail in mails):
        return list(mails)
    total = max(mail.total or 1 for mail in mails)
    found: dict[int, Mail] = {}
    for mail in mails:
        number = mail.number or 1
        if found.setdefault(number, mail).diff != mail.diff or (mail.total or 1) != total:
            raise UserError(f"{origin} holds two different patches {number}/{total}: save the thread of one series")
    missing = [str(number) for number in range(1, total + 1) if number not in found]
    if missing:
        raise UserError(f"{origin} lacks patch {', '.join(missing)} of {total}: save the whole thread")
    return [found[number] for number in sorted(found)]


def _split(box: Path, folder: Path, origin: str) -> list[Mail]:
    """The mails of BOX that carry a patch, split into files in FOLDER."""
    result = run(["git", "mailsplit", "-b", "--mboxrd", f"-o{folder}", "--", box], env=ENVIRONMENT, check=False)
    if result.status:
        raise UserError(f"{origin} holds no patches: git cannot read it as an mbox")
    mails = (_mail(path) for path in sorted(folder.glob("[0-9]*")))
    return [mail for mail in mails if mail is not None]


def _mail(path: Path) -> Mail | None:
    """The patch in the mail at PATH; None for a cover letter, a reply or anything else."""
    subject = _subject(path.read_bytes())
    tag = _TAG.match(subject)
    counter = _COUNTER.search(tag[1]) if tag else None
    if tag is None or (counter and int(counter[1]) == 0):
        return None
    diff = _mail_diff(path)
    if not _DIFF.search(diff):
        return None
    version = _VERSION.search(tag[1])
    number, total = (int(counter[1]), int(counter[2])) if counter else (None, None)
    return Mail(_TAGS.sub("", subject), diff, int(version[1]) if version else 1, number, total)


def _read(path: Path) -> tuple[str, bytes]:
    """Subject and diff of a patch file, be it a mail or a bare diff."""
    data = path.read_bytes()
    subject = _subject(data)
    if subject:
        return _TAGS.sub("", subject), _mail_diff(path)
    return re.sub(r"^\d+-", "", path.stem), data


def _subject(data: bytes) -> str:
    """The subject of the mail DATA on one line; empty when it is no mail."""
    head = data.split(b"\n\n", 1)[0].replace(b"\r\n", b"\n")
    if _DIFF.search(head):
        return ""
    message = email.message_from_bytes(head, policy=email.policy.default)
    return " ".join(str(message.get("Subject", "")).split())


def _mail_diff(path: Path) -> bytes:
    """The part of the mail at PATH that git-am would apply."""
    with tempfile.TemporaryDirectory() as name:
        message, diff = Path(name) / "message", Path(name) / "diff"
        run(["git", "mailinfo", message, diff], env=ENVIRONMENT, stdin=path.read_bytes())
        return diff.read_bytes()


def _place(path: Path) -> tuple[int, str]:
    number = re.match(r"\d+", path.name)
    return int(number[0]) if number else 1 << 31, path.name


def _patch(number: int, subject: str, diff: bytes, origin: str) -> Patch:
    """The Patch, after a look at what it would touch (git apply, which reads only).

    Raises UserError for no diff, a damaged one, a path outside the tree, a symlink,
    a submodule or a binary file.
    """
    where = f"{origin}: patch {number} '{subject}'"
    argv = ["git", "apply", "--numstat", "--summary", "--whitespace=nowarn", "-"]
    result = run(argv, cwd=Path("/"), env=ENVIRONMENT, stdin=diff, check=False)
    if result.status:
        raise UserError(f"{where} is no patch: {_reason(result.stderr)}")
    counts = re.findall(r"^(\d+|-)\t(\d+|-)\t(.+)$", result.stdout, re.MULTILINE)
    files = tuple(name.strip('"') for _added, _removed, name in counts)
    binary = [name for added, _removed, name in counts if added == "-"]
    outside = [name for name in (*files, *_absolute(diff)) if name.startswith("/") or ".." in name.split("/")]
    for offenders, what in (
        (outside, "a path outside the tree"),
        (binary, "a binary file"),
        (_ODD_MODE.findall(result.stdout), "a symlink or submodule"),
    ):
        if offenders:
            raise UserError(f"{where} touches {what}, {offenders[0]}: only text files of the tree may be changed")
    return Patch(number, subject, diff, files)


def _absolute(diff: bytes) -> list[str]:
    """The absolute paths in DIFF's file headers, whose first slash git would strip unasked."""
    names = [name.decode(errors="replace") for pair in _HEADER.findall(diff) for name in pair]
    return [name for name in names if name.startswith("/") and name != "/dev/null"]


def _reason(stderr: str) -> str:
    if "No valid patches" in stderr:
        return "there is no diff in it"
    lines = [line.removeprefix("error: ") for line in stderr.splitlines() if line.startswith("error: ")]
    return lines[0] if lines else "git cannot read it"
