# SPDX-License-Identifier: GPL-2.0-only
"""git as the project uses it: repositories of our own, no user's configuration, no clock.

A commit's id depends on nothing but the files and the message, so that the same
series on the same base is the same commit everywhere, and may be a cache key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate.command import Result, run, run_lines
from kernelgate.errors import CommandError, UserError
from kernelgate.progress import Report, Step

_NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "kernelgate"), ("EMAIL", "kernelgate@localhost"), ("DATE", "1000000000 +0000"))
}
_SETTINGS = {
    "gc.auto": "0",
    "core.checkStat": "minimal",  # a hard-linked or renamed tree has other inodes and ctimes, the same files
    "core.trustctime": "false",
    "checkout.workers": "0",
    "init.defaultBranch": "base",
}
_CONFIGURATION = {
    f"GIT_CONFIG_{part}_{number}": text
    for number, setting in enumerate(_SETTINGS.items())
    for part, text in zip(("KEY", "VALUE"), setting, strict=True)
} | {"GIT_CONFIG_COUNT": str(len(_SETTINGS))}

ENVIRONMENT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", **_CONFIGURATION, **_NOBODY}
"""Neither the user's configuration nor their language nor their name."""

RECORD_EVERY = 1000
"""Files between two reports of progress."""


@dataclass(frozen=True)
class Repository:
    """A bare repository; work trees and indexes are named call by call.

    All methods raise CommandError, which carries git's own words.
    """

    path: Path

    @classmethod
    def create(cls, path: Path) -> Repository:
        """An empty repository at PATH."""
        run(["git", "init", "-q", "--bare", "--template=", path], env=ENVIRONMENT)
        return cls(path)

    def git(
        self,
        *args: str,
        work_tree: Path | None = None,
        index: Path | None = None,
        stdin: str | bytes | None = None,
        check: bool = True,
    ) -> Result:
        """`git ARGS` on this repository, with INDEX in place of its own."""
        return run(self._argv(args), env=self._env(work_tree, index), stdin=stdin, check=check)

    def add_all(self, work_tree: Path, name: str, total: int, report: Report) -> None:
        """Put every file under WORK_TREE, ignored ones too, into the index.

        A threshold of one byte makes git stream all blobs into one pack instead of
        writing 95,000 loose files (object-file.c:index_fd(), bulk-checkin.c).
        """
        settings = ("-c", "core.bigFileThreshold=1", "-c", "core.compression=1")
        argv = self._argv((*settings, "add", "--force", "--all", "--verbose", "."))
        count = Counter(name, report, total)
        result = run_lines(argv, count.line, cwd=work_tree, env=self._env(work_tree, None))
        if result.status:
            complaints = re.findall(r"(?:fatal|error): [^\n]*", result.stdout)  # mid-line, among the names
            raise CommandError(argv, result.status, "\n".join(complaints))

    def commit(self, message: str, parent: str | None, index: Path | None = None) -> str:
        """The id of a commit of INDEX (default: the repository's own) on PARENT."""
        tree = self.git("write-tree", index=index).stdout.strip()
        ancestry = ("-p", parent) if parent else ()
        return self.git("commit-tree", *ancestry, tree, stdin=message + "\n").stdout.strip()

    def keep(self, name: str, commit: str) -> None:
        """Name COMMIT, so that it is found and never collected as garbage."""
        self.git("update-ref", f"refs/heads/{name}", commit)

    def _argv(self, args: Sequence[str]) -> list[str]:
        return ["git", *args]

    def _env(self, work_tree: Path | None, index: Path | None) -> dict[str, str]:
        place = {"GIT_DIR": str(self.path), "GIT_INDEX_FILE": str(index or self.path / "index")}
        return ENVIRONMENT | place | ({"GIT_WORK_TREE": str(work_tree)} if work_tree else {})


def user_git(path: Path, *args: str) -> str:
    """What `git ARGS`, a command that writes nothing there, says about the user's repository at PATH.

    Raises UserError, on one line, when git refuses.
    """
    if not path.is_dir():
        raise UserError(f"{path} does not exist: name a git repository")
    result = run(["git", "-C", path, *args], env={"LC_ALL": "C"}, check=False)
    if result.status:
        words = result.stderr.strip().splitlines() or [f"git {' '.join(args)}: status {result.status}"]
        raise UserError(f"{path}: {words[0].removeprefix('fatal: ')}")
    return result.stdout


class Counter:
    """Counts lines, one a file, and reports now and then."""

    def __init__(self, name: str, report: Report, total: int | None = None) -> None:
        self.done = 0
        self._name, self._report, self._total = name, report, total

    def line(self, _line: str) -> None:
        """One more file."""
        self.done += 1
        if self.done % RECORD_EVERY == 0:
            self._report(Step(self._name, self.done, self._total, "files"))
