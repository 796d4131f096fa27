# SPDX-License-Identifier: GPL-2.0-only
"""Imports point one way (README, "Architecture"): a module imports only what stands below it."""

import ast
from pathlib import Path

import pytest

import kernelgate

PACKAGE = Path(kernelgate.__file__).parent

LAYERS = [
    {"c_source", "errors", "splat_formats"},
    {"ktap", "dmesg", "progress", "reserve", "stopwatch"},
    {"catalogue", "command", "scratch", "selection", "soak", "suites"},
    {"apt", "binary", "cache", "compiler", "decode", "git", "runs", "variant"},
    {"faults", "manifest", "patches", "score", "seeds", "static_rules", "kconfig_tree", "kbuild"},
    {"source", "kconfig"},
    {"series"},
    {"build", "image", "programs", "topology"},
    {"devicetree", "forward", "kernel_tests", "levels", "litmus"},
    {"machine"},
    {"accelerator", "guest"},
    {"verdict"},
    {"failure"},
    {"gate", "report"},
    {"bisect", "walk"},
]
"""From the ground up; modules of one line may import each other."""

PURE = {"ktap", "dmesg", "splat_formats"}
"""These read text and import nothing of the library but each other."""


def _tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text())


def _imports(module: str) -> set[str]:
    nodes = list(ast.walk(_tree(module)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
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
    inside = {name.split(".")[1] for name in _imports(module) if name.startswith("kernelgate.")} & set(MODULES)
    if module in PURE:
        assert inside <= PURE
    assert not {name for name in inside if _layer(name) > _layer(module)}


@pytest.mark.parametrize("module", MODULES)
def test_library_knows_nothing_of_pytest(module: str) -> None:
    assert not {name for name in _imports(module) if name.split(".")[0] in ("pytest", "_pytest")}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "command"])
def test_only_command_starts_processes(module: str) -> None:
    """Others may name subprocess's types and constants; who calls it, or the like of it, starts something."""
    calls = [ast.unparse(node.func) for node in ast.walk(_tree(module)) if isinstance(node, ast.Call)]
    starters = ("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "Popen")
    assert not [call for call in calls if call.startswith(starters)]
    assert not _imports(module) & {"multiprocessing", "pty", "pexpect.spawn", "pexpect.pty_spawn"}
