# SPDX-License-Identifier: GPL-2.0-only
"""Imports point one way (README, "Architecture"): a module imports only what stands below it."""

import ast
from pathlib import Path

import pytest

import kernelgate

PACKAGE = Path(kernelgate.__file__).parent

LAYERS = [
    {"errors"},
    {"ktap", "dmesg", "splat_formats", "progress"},
    {"command", "cache", "selection", "suites"},
    {"apt", "git", "manifest", "patches", "variant", "kconfig", "source", "series", "decode"},
    {"build", "image"},
    {"machine"},
    {"guest"},
    {"verdict"},
    {"gate", "report"},
]
PURE = {"ktap", "dmesg", "splat_formats"}
"""These import nothing of the library at all."""

PROCESS_STARTERS = {"subprocess", "multiprocessing", "pty"}


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _layer(module: str) -> int:
    for level, names in enumerate(LAYERS):
        if module in names:
            return level
    raise AssertionError(f"kernelgate/{module}.py has no place in LAYERS")


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_stands_below_it(module: str) -> None:
    imported = _imports(PACKAGE / f"{module}.py")
    inside = {name.split(".")[1] for name in imported if name.startswith("kernelgate.")} & set(MODULES)
    if module in PURE:
        assert not inside
    too_high = {name for name in inside if _layer(name) > _layer(module)}
    assert not too_high


@pytest.mark.parametrize("module", MODULES)
def test_library_knows_nothing_of_pytest(module: str) -> None:
    assert not {name for name in _imports(PACKAGE / f"{module}.py") if name.split(".")[0] in ("pytest", "_pytest")}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "command"])
def test_only_command_starts_processes(module: str) -> None:
    starters = _imports(PACKAGE / f"{module}.py") & PROCESS_STARTERS
    assert not starters
    assert "os.system" not in (PACKAGE / f"{module}.py").read_text()
