# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree of a few files, and repositories and patches made of it with the real git."""

from __future__ import annotations

import subprocess
from pathlib import Path

MAKEFILE = """# SPDX-License-Identifier: GPL-2.0
VERSION = 7
PATCHLEVEL = 2
SUBLEVEL = 13
EXTRAVERSION =
NAME = Baby Opossum Posse
"""

GUP = "".join(f"line {number}\n" for number in range(1, 41))

FILES = {
    "Makefile": MAKEFILE,
    "Kconfig": "source init/Kconfig\n",
    ".gitignore": "*.o\n*.tmp\n",
    "ignored.tmp": "in the tarball, though .gitignore names it\n",
    "include/linux/page_ref.h": "/* refs */\nstatic inline int page_ref_count(void)\n{\n\treturn 0;\n}\n",
    "include/linux/page-flags.h": "/* flags */\n",
    "mm/gup.c": GUP,
}


def kernel(folder: Path) -> Path:
    """A kernel tree at FOLDER, with an executable and a symlink in it as real ones have."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = folder / "scripts/checker.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (folder / "scripts/link").symlink_to("checker.sh")
    return folder


def git(folder: Path, *args: str) -> str:
    """Run git in FOLDER as a person with a name would."""
    person = ["-c", "user.name=A Person", "-c", "user.email=person@example.org"]
    argv = ["git", "-C", str(folder), *person, *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def repository(folder: Path) -> Path:
    """A git repository at FOLDER holding the kernel tree as its first commit, `base`."""
    kernel(folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-f", "-A")
    git(folder, "commit", "-q", "-m", "base")
    git(folder, "tag", "base")
    return folder


def change(repo: Path, subject: str, old: str, new: str, name: str = "mm/gup.c") -> None:
    """Commit SUBJECT: OLD becomes NEW in the file NAME."""
    path = repo / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    git(repo, "commit", "-q", "-a", "-m", f"{subject}\n\nBecause.")


def two_patches(repo: Path) -> Path:
    """REPO with two more commits."""
    change(repo, "mm: first", "line 3\n", "line three\n")
    change(repo, "mm: second", "line 30\n", "line thirty\n")
    return repo


def format_patches(repo: Path, folder: Path, *options: str) -> Path:
    """The commits after `base`, as mails in FOLDER."""
    git(repo, "format-patch", "-q", "-o", str(folder), *options, "base..HEAD")
    return folder
