# SPDX-License-Identifier: GPL-2.0-only
"""Put a kernel configuration together from fragments, and hold the tree to it (promise 3).

kconfigs/ has the fragments (NAME.config, and NAME.ARCH.config where an architecture
differs) and configurations.toml, which says what a named configuration consists of.
A fragment is what merge_config.sh of the kernel takes. Every option must be in the final
.config as it was asked for. One that the tree does not know at all is excused by a
comment directly above it:

    # if known: the reason                      excused where the tree does not know the option
    # if known OPTION: the reason               excused where it does not know OPTION
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelgate import kconfig_tree
from kernelgate.errors import UserError, unknown
from kernelgate.kconfig_tree import Entry
from kernelgate.selection import ARCHES, Configuration

SRCARCH = {"x86_64": "x86", "arm64": "arm64"}
"""The folder of an architecture under arch/."""

_SET = re.compile(r"CONFIG_(\w+)=(.+)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_EXCUSE = re.compile(r"# if known(?: (?:CONFIG_)?(\w+))?: \S")


@dataclass(frozen=True)
class Option:
    """One request of a fragment.

    name is without CONFIG_; value as .config has it, "n" for what is not set; origin is
    FILE:LINE; needs is the option without which the tree is excused, "" for none.
    """

    name: str
    value: str
    origin: str
    needs: str = ""

    def __str__(self) -> str:
        return f"CONFIG_{self.name}={self.value} ({self.origin})"


@dataclass(frozen=True)
class Fragments:
    """All requests of one configuration for one architecture, each option once."""

    names: tuple[str, ...]
    arch: str
    options: tuple[Option, ...]

    @property
    def text(self) -> str:
        """As lines of a .config."""
        return "".join(f"{_line(option)}\n" for option in self.options)


@dataclass(frozen=True)
class Lost:
    """An option that is not in the final .config as it was asked for, and why."""

    option: Option
    found: str
    reason: str

    def __str__(self) -> str:
        return f"{self.option} became {self.found}: {self.reason}"


def configurations(root: Path) -> dict[str, Configuration]:
    """The named configurations; ROOT is the folder kconfigs/."""
    data = tomllib.loads((root / "configurations.toml").read_text(encoding="utf-8"))
    return {name: _configuration(name, entry, data["common"]) for name, entry in data["configurations"].items()}


def _configuration(name: str, entry: Mapping[str, Sequence[str]], common: Sequence[str]) -> Configuration:
    return Configuration(
        name,
        tuple(common),
        tuple(entry.get("without", ())),
        tuple(entry["fragments"]),
        tuple(entry.get("arches", ARCHES)),
        tuple(entry.get("machines", ())),
        tuple(entry.get("bases", ())),
    )


def configuration(name: str, root: Path) -> Configuration:
    """Where the configuration NAME can run, or what several of them and fragments, joined by "+", make together."""
    known = configurations(root)
    parts = [known.get(part, Configuration(part)) for part in name.split("+")]
    return Configuration(
        name,
        arches=tuple(arch for arch in ARCHES if all(arch in part.arches for part in parts)),
        machines=next((part.machines for part in parts if part.machines), ()),
    )


def fragment_names(root: Path) -> set[str]:
    """The names of the fragments of ROOT."""
    return {path.name.split(".")[0] for path in root.glob("*.config")}


def compose(names: Sequence[str], arch: str, root: Path, version: str | None = None) -> Fragments:
    """The requests of NAMES for ARCH: configurations or fragments of ROOT, or paths of fragments.

    VERSION is that of the kernel that is to have them, None for any.
    Raises UserError for an unknown name or architecture, for a configuration that ARCH or
    VERSION cannot have, for a line that is no option, and for two fragments that contradict
    each other.
    """
    if arch not in ARCHES:
        raise unknown("architecture", arch, ARCHES)
    known = configurations(root)
    chosen: dict[str, Option] = {}
    for name in names:
        config = known.get(name, Configuration(name, fragments=(name,)))
        if arch not in config.arches:
            raise UserError(f"configuration '{name}' is for {', '.join(config.arches)}: add --arch {config.arches[0]}")
        if version and config.bases and ".".join(version.split(".")[:2]) not in config.bases:
            raise UserError(f"configuration '{name}' is for {', '.join(config.bases)}: add --base {config.bases[0]}")
        for option in _requests(config, arch, root, known):
            _agree(chosen.setdefault(option.name, option), option)
    return Fragments(tuple(names), arch, tuple(chosen.values()))


def _requests(config: Configuration, arch: str, root: Path, known: Iterable[str]) -> Iterator[Option]:
    """All that CONFIG's fragments ask for, but for what it leaves out of those that it has in common with others."""
    for fragment in (*config.common, *config.fragments):
        left_out = config.left_out if fragment in config.common else ()
        for path in _files(fragment, arch, root, known):
            yield from (option for option in _parse(path, root) if option.name not in left_out)


def lost(fragments: Fragments, final_config: str, tree: Path) -> tuple[Lost, ...]:
    """The requests that did not survive in FINAL_CONFIG, the text of the .config that TREE made.

    A request to unset an option that the tree does not have is lost too: it is a slip of the pen.
    """
    values = parse_config(final_config)
    doubtful = [o for o in fragments.options if o.name not in values or values[o.name] != o.value]
    if not doubtful:
        return ()
    known = kconfig_tree.entries(tree, SRCARCH[fragments.arch])
    return tuple(
        Lost(option, values.get(option.name, "n"), _reason(option, values, known))
        for option in doubtful
        if (values.get(option.name, "n") != option.value or option.name not in known)
        and not (option.needs and option.needs not in known)
    )


def verify(fragments: Fragments, final_config: str, tree: Path) -> None:
    """Raise UserError, naming every lost option and what it lost to."""
    failures = lost(fragments, final_config, tree)
    if failures:
        raise UserError("options did not survive: " + "; ".join(str(failure) for failure in failures))


def parse_config(text: str) -> dict[str, str]:
    """The options of a .config, names without CONFIG_, "n" for those named as not set."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.fullmatch(line):
            values[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line):
            values[match[1]] = "n"
    return values


def _line(option: Option) -> str:
    return f"# CONFIG_{option.name} is not set" if option.value == "n" else f"CONFIG_{option.name}={option.value}"


def _files(name: str, arch: str, root: Path, known: Iterable[str]) -> list[Path]:
    if "/" in name or name.endswith(".config"):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such fragment: name a file, or one of kconfigs/ without .config")
        return [Path(name)]
    files = [path for path in (root / f"{name}.config", root / f"{name}.{arch}.config") if path.is_file()]
    if not files:
        raise unknown("configuration or fragment", name, fragment_names(root) | set(known))
    return files


def _parse(path: Path, root: Path) -> list[Option]:
    place = path.relative_to(root.parent) if path.is_relative_to(root) else path
    found: list[Option] = []
    excuse: str | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = _SET.fullmatch(line.strip()) or _UNSET.fullmatch(line.strip())
        if match:
            needs = "" if excuse is None else excuse or match[1]
            value = match[2].strip() if match.re is _SET else "n"
            found.append(Option(match[1], value, f"{place}:{number}", needs))
        elif line.strip() and not line.startswith("#"):
            raise UserError(f"{place}:{number}: '{line.strip()}' is no option: write CONFIG_NAME=VALUE")
        note = _EXCUSE.match(line)
        excuse = (note[1] or "") if note else None
    return found


def _agree(first: Option, second: Option) -> None:
    if first.value != second.value:
        raise UserError(f"fragments contradict each other: {first} and {second}: leave one out")


def _reason(option: Option, values: Mapping[str, str], known: Mapping[str, list[Entry]]) -> str:
    mine = known.get(option.name)
    if mine is None:
        return "this tree has no such option"
    if option.value == "n":
        return _why_on(option, values, known)
    blocked = [kconfig_tree.blockers(entry, values) for entry in mine]
    if all(blocked):
        return "it depends on " + " and ".join(_shown(part, values) for part in blocked[0])
    entry = mine[blocked.index(())]
    if entry.prompt is None:
        return "it has no prompt: it is only set by what selects it"
    if not kconfig_tree.level(entry.prompt, values):
        return f"its prompt needs {_shown(entry.prompt, values)}"
    if entry.in_choice:
        return "another option of its choice is set"
    return "the tree gives it another value (a range, or its dependencies are modules)"


def _why_on(option: Option, values: Mapping[str, str], known: Mapping[str, list[Entry]]) -> str:
    selectors = sorted(
        entry.name
        for group in known.values()
        for entry in group
        for name, condition in entry.selects
        if name == option.name and values.get(entry.name, "n") != "n" and kconfig_tree.level(condition, values)
    )
    if selectors:
        return f"selected by {', '.join(f'{name}={values[name]}' for name in selectors)}"
    return "its default sets it, and it has no prompt here to unset it"


def _shown(part: str, values: Mapping[str, str]) -> str:
    """An expression with the values that decide it: "BLOCK (BLOCK=n)" becomes "BLOCK=n" for a plain one."""
    found = ", ".join(f"{name}={values.get(name, 'n')}" for name in kconfig_tree.symbols(part))
    return found if re.fullmatch(r"\w+", part) else f"{part} ({found})"
