# SPDX-License-Identifier: GPL-2.0-only
"""Read what a tree's Kconfig files say of an option: prompts, dependencies, selects.

Only to explain why an option did not survive; the kernel's own scripts/kconfig decides
whether it does. kconfiglib would be the library for this, but its last release (14.1,
2020) is a syntax error away from today's trees: `transitional`, arch/Kconfig of 7.2.
Held against kconfiglib on 6.1, with the words that stop it taken out: the same 16,476
options, entries and prompts, and the same value of every dependency but three, which
are shell macros. The language: Documentation/kbuild/kconfig-language.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ENTRY = re.compile(r"(?:menu)?config\s+(\w+)$")
_SOURCE = re.compile(r'source\s+"([^"]+)"')
_TYPED = re.compile(r"(?:bool|tristate|string|int|hex|prompt)\s+([\"'])(?:\\.|(?!\1).)*\1(?:\s+if\s+(.+))?$")
_SELECT = re.compile(r"(?:select|imply)\s+(\w+)(?:\s+if\s+(.+))?$")
_TOKEN = re.compile(r"\s*(&&|\|\||!=|<=|>=|[()=<>!]|\"[^\"]*\"|'[^']*'|[\w.-]+)")
_LEVELS = {"n": 0, "m": 1, "y": 2}


@dataclass(frozen=True)
class Entry:
    """One `config NAME` of the tree.

    depends holds its own dependencies and those of the menus, choices and ifs around
    it; prompt is the condition of its prompt, "y" without one, None where it has none.
    """

    name: str
    depends: tuple[str, ...]
    prompt: str | None
    selects: tuple[tuple[str, str], ...]
    in_choice: bool


@dataclass
class _Block:
    """Something open while a file is read: an entry, or a menu, choice or if around entries."""

    kind: str
    name: str = ""
    depends: list[str] = field(default_factory=list)
    prompt: str | None = None
    selects: list[tuple[str, str]] = field(default_factory=list)


def entries(tree: Path, srcarch: str) -> dict[str, list[Entry]]:
    """All entries of TREE for the architecture SRCARCH (as arch/SRCARCH), by name without CONFIG_."""
    found: dict[str, list[Entry]] = {}
    for entry in _read(tree, tree / "Kconfig", srcarch, []):
        found.setdefault(entry.name, []).append(entry)
    return found


def blockers(entry: Entry, values: Mapping[str, str]) -> tuple[str, ...]:
    """The parts of ENTRY's dependencies that are "n" under VALUES (names without CONFIG_)."""
    parts = [part for expression in entry.depends for part in conjuncts(expression)]
    return tuple(dict.fromkeys(part for part in parts if not level(part, values)))


def conjuncts(expression: str) -> list[str]:
    """EXPRESSION split at the && outside of its parentheses."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"[()]|&&|\|\|", expression):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0 and match.group() == "||":
            return [expression.strip()]
        if depth == 0 and match.group() == "&&":
            parts.append(expression[start : match.start()].strip())
            start = match.end()
    return [*parts, expression[start:].strip()]


def symbols(expression: str) -> tuple[str, ...]:
    """The options that EXPRESSION speaks of."""
    names = re.findall(r"\b[A-Z0-9_]*[A-Z_][A-Z0-9_]*\b", re.sub(r"\"[^\"]*\"|\$\([^)]*\)", "", expression))
    return tuple(dict.fromkeys(names))


def level(expression: str, values: Mapping[str, str]) -> int:
    """EXPRESSION under VALUES: 0, 1 or 2 for n, m or y. Shell macros count as y: they are not run here."""
    plain = re.sub(r"\$\((?:[^()]|\([^()]*\))*\)", "y", expression)
    tokens = _TOKEN.findall(plain)
    result, rest = _either(tokens, values)
    return result if not rest else 2


def _either(tokens: list[str], values: Mapping[str, str]) -> tuple[int, list[str]]:
    result, rest = _both(tokens, values)
    while rest and rest[0] == "||":
        right, rest = _both(rest[1:], values)
        result = max(result, right)
    return result, rest


def _both(tokens: list[str], values: Mapping[str, str]) -> tuple[int, list[str]]:
    result, rest = _single(tokens, values)
    while rest and rest[0] == "&&":
        right, rest = _single(rest[1:], values)
        result = min(result, right)
    return result, rest


def _single(tokens: list[str], values: Mapping[str, str]) -> tuple[int, list[str]]:
    if not tokens:
        return 2, []
    if tokens[0] == "!":
        result, rest = _single(tokens[1:], values)
        return 2 - result, rest
    if tokens[0] == "(":
        result, rest = _either(tokens[1:], values)
        return result, rest[1:]
    if len(tokens) > 2 and tokens[1] in ("=", "!=", "<", ">", "<=", ">="):
        return 2 * _compare(_value(tokens[0], values), tokens[1], _value(tokens[2], values)), tokens[3:]
    return _LEVELS.get(_value(tokens[0], values), 0), tokens[1:]


def _compare(left: str, operator: str, right: str) -> bool:
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    try:
        difference = int(left, 0) - int(right, 0)
    except ValueError:
        return True
    return {"<": difference < 0, ">": difference > 0, "<=": difference <= 0, ">=": difference >= 0}[operator]


def _value(token: str, values: Mapping[str, str]) -> str:
    """A constant or an option's value; a word that is neither stands for itself, as in the kernel's parser."""
    if token in _LEVELS or re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", token):
        return token
    if token[0] in "\"'":
        return token[1:-1]
    return values.get(token, "n" if token.isupper() else token).strip('"')


def _read(tree: Path, path: Path, srcarch: str, around: list[_Block]) -> Iterator[Entry]:
    """The entries of one file and of those it sources; AROUND are the blocks it stands in."""
    blocks = list(around)
    entry: _Block | None = None
    owner: _Block | None = None
    for line in _statements(path.read_text(encoding="utf-8", errors="replace")):
        word = line.split(None, 1)[0]
        if not _starts_block(word):
            _attribute(line, owner)
            continue
        if entry is not None:
            yield _finished(entry, blocks)
        entry = owner = None
        if match := _ENTRY.match(line):
            entry = owner = _Block("config", match[1])
        elif word in ("menu", "choice", "if"):
            owner = _Block(word, depends=[line[2:].strip()] if word == "if" else [])
            blocks.append(owner)
        elif word in ("endmenu", "endchoice", "endif"):
            blocks.pop()
        elif match := _SOURCE.match(line):
            yield from _sourced(tree, match[1], srcarch, blocks)
    if entry is not None:
        yield _finished(entry, blocks)


def _starts_block(word: str) -> bool:
    return word in (
        "config", "menuconfig", "menu", "choice", "if", "endmenu", "endchoice", "endif", "source", "comment", "mainmenu"
    )  # fmt: skip


def _sourced(tree: Path, name: str, srcarch: str, blocks: list[_Block]) -> Iterator[Entry]:
    path = tree / name.replace("$(SRCARCH)", srcarch)
    if path.is_file():
        yield from _read(tree, path, srcarch, blocks)


def _attribute(line: str, owner: _Block | None) -> None:
    if owner is None:
        return
    if line.startswith("depends on "):
        condition, _, when = line.removeprefix("depends on ").partition(" if ")
        owner.depends.append(f"!({when}) || ({condition})" if when else condition)
    elif match := _TYPED.match(line):
        owner.prompt = match[2] or "y"
    elif match := _SELECT.match(line):
        owner.selects.append((match[1], match[2] or "y"))


def _finished(entry: _Block, blocks: list[_Block]) -> Entry:
    outer = [expression for block in blocks for expression in block.depends]
    choice = any(block.kind == "choice" for block in blocks)
    return Entry(entry.name, (*outer, *entry.depends), entry.prompt, tuple(entry.selects), choice)


def _statements(text: str) -> Iterator[str]:
    """The lines of a Kconfig file without help texts, comments and blank lines; continued lines joined."""
    help_indent: int | None = None
    in_help = False
    for line in re.sub(r"\s*\\\n\s*", " ", text).expandtabs().splitlines():
        stripped = line.strip()
        if in_help:
            indent = len(line) - len(line.lstrip())
            help_indent = indent if help_indent is None and stripped else help_indent
            if not stripped or indent >= (help_indent or 1):
                continue
            in_help = False
        if stripped in ("help", "---help---"):
            in_help, help_indent = True, None
        elif stripped and not stripped.startswith("#"):
            yield re.sub(r"\s+#[^\"']*$", "", stripped)  # not the # of a prompt
