# SPDX-License-Identifier: GPL-2.0-only
"""pytest's side of the gate: options, items, fixtures, the closing table.

No judgement is made here: kernelgate/gate.py builds and boots, kernelgate/verdict.py
judges, kernelgate/report.py words what a person reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelgate import catalogue, kconfig, report, runs, selection, suites, topology
from kernelgate.errors import BuildError, GuestDied, KernelgateError, UserError

ROOT = Path(__file__).parent
KCONFIGS = ROOT / "kconfigs"
IN_TREE = "in_tree"
"""The marker of the kernel's own tests."""
LONG = {IN_TREE: (IN_TREE, "IT-01"), "under_stress": ("soak", "SOAK-01")}
"""The folders of what takes long by its nature, each with the word and the case that ask for it."""
GATE = pytest.StashKey[Any]()
ARCHES = pytest.StashKey[tuple[str, ...]]()
CONFIGS = pytest.StashKey[tuple[str, ...]]()
"""What --config names; empty where each test's own choice holds."""
ROWS = pytest.StashKey[list[report.Row]]()
TROUBLE = pytest.StashKey[set[int]]()
"""The exit statuses of what kept tests from being run."""
LEFT_OUT = pytest.StashKey[list[pytest.Item]]()
"""What a test was collected for and is not run."""


class KnownDefectReproducedError(AssertionError):
    """The failure that the series' manifest names: expected, and strictly so."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kernelgate", "kernels, series and machines")
    add = group.addoption
    add("--base", help="7.2 | 7.3 | 6.12 | 6.1 | DIR | git:PATH@REV | TARBALL (default: the series' first, or 7.2)")
    add(
        "--series", default=None, help="NAME under series/ | DIR | MBOX | git:PATH@A..B | none (default: frozen-bit-v4)"
    )
    add("--upto", type=int, metavar="N", help="apply only the first N patches")
    add("--arch", default=",".join(selection.ARCHES), help="architectures, separated by commas (default: %(default)s)")
    add("--machine", action="append", default=[], help="run on this machine instead of each test's own; repeatable")
    add("--config", dest="configuration", help="kernel configurations, separated by commas; all: all that a test names")
    add("--kernel-build", metavar="DIR", action="append", default=[], help="test this build folder instead; repeatable")
    add("--append", default="", metavar="PARAMS", help="more kernel parameters")
    add("--accel", choices=("auto", "kvm", "tcg"), default="auto", help="accelerator (default: %(default)s)")
    add("--case", action="append", default=[], metavar="ID", help="only this case of the catalogue, e.g. REF-04")
    add("--jobs", type=int, metavar="N", help="parallel compilers (default: one more than processors)")
    add("--cache", metavar="DIR", help="cache folder (default: KERNELGATE_CACHE, or ~/.cache/kernelgate)")
    add("--repeat", type=int, default=1, metavar="N", help="each test N times, each time in a guest of its own")
    add("--soak-seconds", type=int, default=15, metavar="N", help="each stressor of -m soak (default: %(default)s)")
    add("--no-decode", action="store_true", help="leave the addresses of a failure's splats as they are: it is faster")
    add("--results", default="results", help="where failures leave what replays them (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[TROUBLE] = set()
    config.stash[LEFT_OUT] = []
    try:
        config.stash[ARCHES] = _arches(config)
        config.stash[CONFIGS] = _configs(config)
        selection.check_machines(config.getoption("--machine"), config.stash[ARCHES], _machines())
        asked = [_configuration(name) for name in config.stash[CONFIGS] if name != selection.ALL]
        selection.check_configs(asked, config.stash[ARCHES], config.getoption("--machine"))
        _check_cases(config.getoption("--case"))
        _check_seconds(config.getoption("--soak-seconds"))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _check_seconds(seconds: int) -> None:
    if seconds < 1:
        raise UserError(f"--soak-seconds {seconds}: a stressor works for a second at least")


def _check_cases(asked: list[str]) -> None:
    if asked:
        catalogue.check_asked(asked, catalogue.read(ROOT / catalogue.FILE), catalogue.implemented(ROOT))


def _arches(config: pytest.Config) -> tuple[str, ...]:
    """The architectures to test: those of --arch that are to be built, or that were built elsewhere."""
    wanted = selection.parse_arches(config.getoption("--arch"))
    folders = config.getoption("--kernel-build")
    if not folders:
        return wanted
    from kernelgate import build  # readelf: only where it is needed

    return selection.built(wanted, {folder: build.existing(Path(folder)).arch for folder in folders})


def _configs(config: pytest.Config) -> tuple[str, ...]:
    """The configurations that the user names; the one that a kernel built elsewhere has."""
    text = config.getoption("configuration")
    if config.getoption("--kernel-build"):
        if text not in (None, selection.AS_FOUND):
            raise UserError("--kernel-build has its kernel's configuration with it: leave out --config")
        return (selection.AS_FOUND,)
    known = {*kconfig.configurations(KCONFIGS), *kconfig.fragment_names(KCONFIGS), selection.ALL}
    return () if text is None else selection.parse_configs(text, known)


def _configuration(name: str) -> selection.Configuration:
    return selection.Configuration(name) if name == selection.AS_FOUND else kconfig.configuration(name, KCONFIGS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What takes long is there when it is asked for by its word, by the name of its folder or by its case."""
    if collection_path.parent != ROOT / "tests" or collection_path.name not in LONG:
        return None
    word, case = LONG[collection_path.name]
    asked = " ".join([config.option.keyword, config.option.markexpr, *config.args])
    return None if word in asked or collection_path.name in asked or case in config.getoption("case") else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item per target, and per case where the test names a suite, a program or the triggers."""
    if "target" in metafunc.fixturenames:
        _on_its_targets(metafunc)
        _repeated(metafunc, metafunc.config.getoption("--repeat"))


def _on_its_targets(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("sources"):
        metafunc.parametrize("target", [selection.SOURCES], ids=str, scope="session", indirect=True)
        return
    own = _own(metafunc.definition)
    targets = [_param(target, own) for target in _targets(metafunc.config, own)] or _elsewhere(metafunc.config, own)
    metafunc.parametrize("target", targets, scope="session", indirect=True)
    cases = _cases(metafunc.definition)
    if cases is not None:
        marks = [pytest.param(case, id=f"{case.id}-{case.name}", marks=pytest.mark.case(case.id)) for case in cases]
        metafunc.parametrize("case", marks)


def _repeated(metafunc: pytest.Metafunc, times: int) -> None:
    """TIMES items of each, told apart at the end of their names."""
    if times > 1:
        metafunc.fixturenames.append("repetition")
        numbers = range(1, times + 1)
        metafunc.parametrize("repetition", numbers, indirect=True, ids=[f"{runs.RUN}{number}" for number in numbers])


def _own(item: Any) -> selection.Own:
    """What a test says of where it runs, by its markers."""
    machines, configs = item.get_closest_marker("machines"), item.get_closest_marker("configurations")
    if configs is None:
        return selection.Own(machines.kwargs if machines else {})
    known = kconfig.configurations(KCONFIGS)
    try:
        named = selection.parse_configs(",".join(configs.args), known)
        excluded = configs.kwargs.get("excluded", {})
        selection.parse_configs(",".join([*named, *excluded]), known)
    except UserError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None
    return selection.Own(machines.kwargs if machines else {}, named, excluded)


def _targets(config: pytest.Config, own: selection.Own) -> tuple[selection.Target, ...]:
    configs = [_configuration(name) for name in selection.configs_of(own, config.stash[CONFIGS])]
    wanted = config.getoption("--machine")
    return selection.targets(config.stash[ARCHES], own.machines, wanted, _machines(), configs)


def _param(target: selection.Target, own: selection.Own) -> Any:
    reason = own.excluded.get(target.config)
    skip = [pytest.mark.skip(reason=f"{reason}: run it with --config {own.configs[0]}")] if reason else []
    return pytest.param(target, id=str(target), marks=skip)


def _elsewhere(config: pytest.Config, own: selection.Own) -> list[Any]:
    """Of a test that nothing of what was asked for can run, and whose case may be asked for: where it could be."""
    place = selection.elsewhere(own.machines, config.stash[ARCHES]) if config.getoption("--case") else None
    if place is None:
        return []
    target, reason = place
    return [pytest.param(target, id=str(target), marks=pytest.mark.skip(reason=reason))]


def _machines() -> dict[str, list[str]]:
    return {arch: list(topology.specs(arch)) for arch in selection.ARCHES}


def _cases(item: Any) -> tuple[suites.Case, ...] | None:
    if marker := item.get_closest_marker("suite"):
        return suites.suite(ROOT / "kmod", marker.args[0]).cases
    if marker := item.get_closest_marker("program"):
        return suites.program(ROOT / suites.PROGRAMS, marker.args[0])
    if marker := item.get_closest_marker("triggers"):
        return tuple(case for case in suites.triggers(ROOT / "kmod") if case.id.startswith(marker.args[0]))
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply --case, and run what shares a guest's snapshot in one go."""
    _leave_out(config, items, [item for item in items if _homeless(item)])
    wanted = set(config.getoption("--case"))
    known = {marker.args[0] for item in items for marker in item.iter_markers("case")}
    if lost := wanted - known:
        names = ", ".join(sorted(lost))
        raise pytest.UsageError(f"none of the selected tests is the case {names}: ask for both architectures and no -k")
    if wanted:
        others = [item for item in items if not wanted & {marker.args[0] for marker in item.iter_markers("case")}]
        _leave_out(config, items, others)
    items.sort(key=lambda item: str(_target(item) or ""))


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        items[0].config.stash[LEFT_OUT] += items


def _leave_out(config: pytest.Config, items: list[pytest.Item], others: list[pytest.Item]) -> None:
    left_out = set(others)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in left_out]


def _homeless(item: pytest.Item) -> bool:
    """Whether no machine of those asked for can run ITEM; pytest keeps one item of such a test, without a target."""
    return "target" in getattr(item, "fixturenames", ()) and _target(item) is None


def _target(item: pytest.Item) -> selection.Target | None:
    callspec = getattr(item, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    return target if isinstance(target, selection.Target) else None


def _skipped(item: pytest.Item) -> bool:
    return item.get_closest_marker("skip") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Fetch, patch and build before the first test, where progress can be seen."""
    config = session.config
    targets = dict.fromkeys(target for item in session.items if (target := _target(item)) and not _skipped(item))
    if not targets or config.option.collectonly or session.testsfailed:
        return
    from kernelgate.gate import Gate  # paramiko and friends: not for --collect-only

    try:
        gate = Gate(_options(config))
        config.stash[GATE] = gate
        flavours, terminal = {target.flavour for target in targets}, config.get_terminal_writer()
        with report.progress(terminal) as show:
            to_build = gate.to_build(flavours, show)
        terminal.line(report.outlook(targets, to_build))
        with report.progress(terminal) as show:
            gate.prepare(flavours, show)
            gate.prepare_images(targets, show)
            for flavour in sorted({target.flavour for item in session.items if (target := _in_tree(item))}):
                gate.prepare_kernel_tests(flavour, show)
        gate.foresee(targets)
    except KernelgateError as error:
        pytest.exit(str(error), returncode=error.exit_status)


def _in_tree(item: pytest.Item) -> selection.Target | None:
    """Where ITEM runs, if it is one of the kernel's own tests."""
    return _target(item) if item.get_closest_marker(IN_TREE) else None


def _options(config: pytest.Config) -> Any:
    from kernelgate.cache import default_root
    from kernelgate.gate import Options

    option = config.getoption
    return Options(
        root=ROOT,
        base=option("--base"),
        series=option("--series"),
        upto=option("--upto"),
        kernel_builds=tuple(Path(folder) for folder in option("--kernel-build")),
        append=option("--append"),
        accel=option("--accel"),
        jobs=option("--jobs"),
        decode=not option("--no-decode"),
        cache=Path(option("--cache") or default_root()),
        results=ROOT / option("--results"),
    )


@pytest.fixture(scope="session")
def gate(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The pipeline that builds, boots and runs."""
    with pytestconfig.stash[GATE] as gate:
        yield gate


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> selection.Target:
    """The machine that an item runs on."""
    return request.param


@pytest.fixture
def repetition(request: pytest.FixtureRequest) -> int:
    """Which of the runs of the same test this is (--repeat)."""
    return request.param


@pytest.fixture
def judged(request: pytest.FixtureRequest, gate: Any, target: selection.Target, record_property: Any) -> Any:
    """A function that turns a Verdict into this item's outcome."""

    def conclude(verdict: Any) -> None:
        marker = request.node.get_closest_marker("case")
        case = marker.args[0] if marker else ""
        record_property("case", case)
        request.node.user_properties.append(("kernel", gate.label(target.flavour)))
        if verdict.skipped:
            pytest.skip(verdict.explain())
        if defect := gate.known_defect(target.flavour, case, _claim(request.node)):
            request.applymarker(pytest.mark.xfail(reason=str(defect), strict=True, raises=KnownDefectReproducedError))
        if verdict.passed:
            return
        folder = gate.keep(verdict, request.node.nodeid, target)
        record_property(runs.FOLDER, str(folder))
        text = f"{case} {verdict.explain()}\nreplay: {folder}/replay.sh".strip()
        if defect and defect.shows_in(verdict.explain()):
            raise KnownDefectReproducedError(text)
        if not defect and (spread := gate.spread_defect(target.flavour, verdict.explain())):
            request.applymarker(pytest.mark.xfail(reason=str(spread), raises=KnownDefectReproducedError))
            raise KnownDefectReproducedError(text)
        pytest.fail(text, pytrace=False)

    return conclude


def _claim(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case.name if case else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    result = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, KernelgateError | KnownDefectReproducedError):
        result.longrepr = str(error)  # worded for a person: no traceback
    if isinstance(error, KernelgateError):
        result.kernel_is_at_fault = isinstance(error, BuildError | GuestDied)
        item.config.stash[TROUBLE].add(error.exit_status)
    target = _target(item)
    if target and (result.when == "call" or result.outcome != "passed"):
        row = report.row(item.nodeid, target, dict(item.user_properties), result)
        item.config.stash[ROWS].append(row)
        item.user_properties.append((runs.OUTCOME, row.outcome))
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """4 or 75 where nothing failed but what was asked for, or the place we run in (promise 2)."""
    rows = session.config.stash[ROWS]
    failed = session.testsfailed > len([row for row in rows if row.outcome == report.ERROR])
    if session.config.stash[TROUBLE] and not failed:
        session.exitstatus = min(session.config.stash[TROUBLE])
    if unshown := _unshown(session):
        rows += unshown
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unshown(session: pytest.Session) -> list[report.Row]:
    """Known defects that a run as wide as this one should have met, and has not."""
    config, rows = session.config, session.config.stash[ROWS]
    if GATE not in config.stash or config.getoption("machine") or config.option.runxfail:
        return []
    told = {row.nodeid for row in rows if row.outcome != report.ERROR}
    missing = config.stash[LEFT_OUT] + [item for item in session.items if item.nodeid not in told]
    left_out = {
        (target.flavour, marker.args[0])
        for item in missing
        if (target := _target(item))
        for marker in item.iter_markers("case")
    }
    gate = config.stash[GATE]
    flavours = {row.target.flavour for row in rows if row.kernel and row.target != selection.SOURCES}
    return report.unshown(rows, left_out, {flavour: gate.to_show(flavour) for flavour in flavours})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if rows:
        headline = config.stash[GATE].headline() if GATE in config.stash else "no kernel: nothing was to run on one"
        terminalreporter.write(report.summary(rows, headline))
