# SPDX-License-Identifier: GPL-2.0-only
"""A stranger finds any behaviour in two hops from the README, so its links must lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINKS = {link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link}


def test_every_link_leads_somewhere() -> None:
    assert LINKS
    assert [link for link in sorted(LINKS) if not (ROOT / link).exists()] == []


def test_every_module_is_linked() -> None:
    modules = {f"kernelgate/{path.name}" for path in (ROOT / "kernelgate").glob("*.py")} - {"kernelgate/__init__.py"}
    assert sorted(modules - LINKS) == []


def test_every_test_module_of_the_kernel_is_linked() -> None:
    sources = {f"kmod/{path.name}" for path in (ROOT / "kmod").glob("kg_*.c")}
    assert sorted(sources - LINKS) == []


def test_every_script_is_named() -> None:
    scripts = [path.name for path in (ROOT / "scripts").iterdir() if path.suffix == "" and path.is_file()]
    assert [name for name in sorted(scripts) if f"scripts/{name}" not in README] == []


def test_every_option_of_the_gate_is_named() -> None:
    options = re.findall(r'add\("(--[\w-]+)"', (ROOT / "conftest.py").read_text())
    assert options
    assert [option for option in options if option not in README] == []
