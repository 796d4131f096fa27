# SPDX-License-Identifier: GPL-2.0-only
"""Read the kernel log: its records, what is missing of them, and the complaints in them.

Pure text in, values out. A complaint ("splat") is found by its banner (splat_formats.py);
what the kernel prints around one death, from the page dump to the panic, is one splat.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kernelgate.splat_formats import (
    AFTERMATH,
    BODY,
    FORMATS,
    KINDS_BY_FILE,
    MACHINERY,
    ORDINARY,
    WAITING,
    Blame,
    Format,
    Kind,
)

NOISE_LIMIT = 8
"""So many lines in a row that are no part of a report end it."""

SILENCE_SECONDS = 30.0
"""A report whose next line comes later than this was over before; the kernel waits 10 s for another CPU's backtrace."""

LINE_LIMIT = 1500
"""No report is longer than this; lockdep's with all locks of all tasks come near."""

AFTERMATH_LINES = 60
"""How long after "---[ end trace" x86 repeats the registers, or the panic may follow."""


@dataclass(frozen=True)
class Record:
    """One line of the log.

    `seq` is the number of /dev/kmsg, or for a console log a count of its lines; `level` 0 (emergency) to 7
    (debug), or None where the log does not tell; `seconds` since boot, or None; `caller` as CONFIG_PRINTK_CALLER
    prints it, T123 or C0; `facility` 0 is the kernel itself, others are programs that wrote to /dev/kmsg.
    """

    seq: int
    level: int | None
    seconds: float | None
    text: str
    caller: str = ""
    facility: int = 0


@dataclass(frozen=True)
class Gap:
    """Records FIRST to LAST (sequence numbers, both included) never reached us."""

    first: int
    last: int


@dataclass(frozen=True)
class Splat:
    """One complaint of the kernel.

    `title` is one line without addresses and numbers of this run; `fingerprint` is equal for the same complaint
    on another boot, CPU or task; `function` is the guilty one, `call_trace` the trusted frames, innermost first;
    `condition` what an assertion says of itself, `location` the file:line printed; `lines` the raw lines;
    `seq` and `seconds` are those of its first record; `aftermath` says that an earlier death brought it along.
    """

    kind: Kind
    title: str
    function: str | None
    fingerprint: str
    lines: tuple[str, ...]
    condition: str | None
    location: str | None
    call_trace: tuple[str, ...]
    seq: int
    seconds: float | None
    aftermath: bool = False


# Documentation/ABI/testing/dev-kmsg: "prefix,seq,usec,flags[,more];text", then lines " KEY=value"
_KMSG = re.compile(r"^(\d+),(\d+),(\d+),([^;]*);(.*)$")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
_DROPPED = re.compile(r"\*\* (\d+) printk messages dropped \*\* ?")
_STAMP = r"\[ *(\d+\.\d+)\](?:\[ *([TC]\d+)\])? ?"
# kernel/printk/printk.c print_time(); before it "<level>", or what syslog and dmesg -T put there
_CONSOLE = re.compile(rf"^(?:<(\d+)>)?(?:{_STAMP})?")
_DATES = re.compile(
    r"^(?:\d{4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d\S* |\[[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}\] "
    r"|[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \S+ kernel: )"
)
_LATE_STAMP = re.compile(r"(?<=.)(?=\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? )")


def parse_kmsg(text: str) -> tuple[Record, ...]:
    """The records of TEXT as read from /dev/kmsg; lines that are none (properties of a device) are left out."""
    return tuple(record for match in map(_KMSG.match, text.split("\n")) if match for record in _from_kmsg(match))


def parse_console(text: str) -> tuple[Record, ...]:
    """The lines of TEXT as a console, dmesg(1) or a syslog file shows them.

    They are numbered from 0; lines that the kernel says it dropped leave a gap in the numbers.
    """
    found: list[Record] = []
    for line in text.rstrip("\n").split("\n"):
        found += _from_console(line.rstrip("\r"), found[-1].seq + 1 if found else 0)
    return tuple(found)


def parse(text: str) -> tuple[Record, ...]:
    """The records of TEXT, whichever of the two it is."""
    return parse_kmsg(text) if _KMSG.match(text.partition("\n")[0]) else parse_console(text)


def gaps(log: Sequence[Record], first: int | None = None) -> tuple[Gap, ...]:
    """The records that LOG lacks; FIRST is the number it should begin with, if that is known."""
    expected = first
    missing = []
    for record in log:
        if expected is not None and record.seq > expected:
            missing.append(Gap(expected, record.seq - 1))
        expected = record.seq + 1 if expected is None else max(expected, record.seq + 1)
    return tuple(missing)


def splats(log: str | Sequence[Record]) -> tuple[Splat, ...]:
    """The complaints in LOG, in the order in which they began."""
    lines = parse(log) if isinstance(log, str) else log
    collector = _Collector(stamped=any(record.seconds is not None for record in lines))
    for record in lines:
        if record.facility == 0:
            collector.take(record)
    found: list[Splat] = []
    died = False
    for splat in map(_finish, collector.drafts):
        found.append(replace(splat, aftermath=died and _follows_a_death(splat)))
        died = died or any(_DIED.search(line) for line in splat.lines)
    return tuple(found)


def _from_kmsg(match: re.Match[str]) -> Iterable[Record]:
    priority, seq, microseconds = (int(match[n]) for n in (1, 2, 3))
    caller = re.search(r"caller=([TC]\d+)", match[4])
    text = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), match[5])
    for line in text.rstrip("\n").split("\n"):
        yield Record(seq, priority & 7, microseconds / 1e6, line, caller[1] if caller else "", priority >> 3)


def _from_console(line: str, seq: int) -> Iterable[Record]:
    """The records in one LINE of a console: more than one where two printers met in it."""
    line = _ANSI.sub("", line)
    for dropped in _DROPPED.findall(line):
        seq += int(dropped)
    rest = [_DATES.sub("", _DROPPED.sub("", line))]
    while rest:
        match = _CONSOLE.match(rest[0])
        assert match is not None  # all of its parts are optional
        level = int(match[1]) & 7 if match[1] else None
        seconds = float(match[2]) if match[2] else None
        text, *rest = _LATE_STAMP.split(rest[0][match.end() :], maxsplit=1)
        yield Record(seq, level, seconds, text.rstrip(), match[3] or "")
        seq += 1


_END = re.compile(r"^---\[ end (?:trace|Kernel panic)")
_DIED = re.compile(r": [0-9a-f]{4,} \[#\d+\]")
_FRAME_LINE = re.compile(r"={60,}$")
_FRAMED = frozenset({Kind.KASAN, Kind.KCSAN, Kind.KFENCE, Kind.KMSAN})
# KTAP (Documentation/dev-tools/ktap.rst) goes on between the lines of a report and is none of them
_KTAP = re.compile(r"^\s*(?:(?:not )?ok \d+|# |KTAP version|TAP version|1\.\.\d+)")
_TRACE = re.compile(r"^(?:Call [Tt]race:|Backtrace:| *backtrace(?: \(crc [0-9a-f]+\))?:|BUG: K[A-Z]+: )")
_TRACE_END = re.compile(
    r"^(?:Modules linked in|---\[|Allocated|Freed|The buggy|Memory state|[=-]{5,}|Showing|Kernel panic|NMI backtrace"
    r"|CPU: |task:|INFO|read to |write to |race at )"
)
_NOT_FRESH = re.compile(r"^(?:CPU: |Modules linked in|Call [Tt]race:|RIP: |pc : )")
# %pS and %pB: "symbol+0xoff/0xsize"; arm prints "(callee) from [<addr>] (caller+0x…)"
_FRAME = re.compile(
    r"^\s*(?:\[<[0-9a-f]*>\]\s*)?"
    r"(?:\((?P<callee>[\w.$]+)\) from |(?P<unsure>\? )?(?P<function>[A-Za-z_][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+)"
)
_POINTER = re.compile(
    r"^(?:[RE]?IP: (?:[0-9a-f]{4}:)?|pc : |PC is at )(?:\[<[0-9a-f]*>\]\s*)*(?P<function>[A-Za-z_][\w.$]*)\+0x"
)
# print_lock() ends in "at: function", print_unlock_imbalance_bug() in "at:" and the function on the next line
_LOCK_AT = re.compile(r"\bat:\s+(?:\[<[0-9a-f]*>\] )?(?P<function>[A-Za-z_][\w.$]*)")
# comm/pid or comm:pid, but not file:line
_TASK = re.compile(r"(?<!\S)(?!\S+\.[chS]:\d)\S+[/:]\d+(?![\w.])")
_ACCESS = re.compile(r"^(Read|Write) (?:of size|at addr)")
_CLONE = re.compile(r"\.(?:constprop|isra|part|cold|llvm|lto_priv)\b[.\w]*$")

# Reports that other CPUs write on, and those whose victim is merely found somewhere.
_CROSS_CPU = frozenset({Kind.RCU_STALL, Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.PANIC})
_STUCK = frozenset({Kind.RCU_STALL, Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.HUNG_TASK})
_ASSERTING = frozenset({Kind.KERNEL_BUG, Kind.WARNING, Kind.PAGE_DUMP})


@dataclass
class _Draft:
    """A splat while its lines still come in."""

    first: Record
    callers: set[str] = field(default_factory=set)
    banners: list[tuple[Format, re.Match[str]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    seconds: float | None = None
    fresh: bool = True
    ended: bool = False
    after: int = 0

    @property
    def best(self) -> tuple[Format, re.Match[str]]:
        return max(self.banners, key=lambda banner: banner[0].rank)

    def add(self, record: Record) -> None:
        self.lines += [*self.pending, record.text]
        self.pending.clear()
        self.seconds = record.seconds if record.seconds is not None else self.seconds
        if _NOT_FRESH.match(record.text):
            self.fresh = False
        self.ended = self.ended or _END.match(record.text) is not None
        self.ended = self.ended or (self.best[0].kind in _FRAMED and _FRAME_LINE.match(record.text) is not None)

    def is_over(self, record: Record) -> bool:
        """Whether RECORD comes too late to belong to this."""
        if record.seconds is not None and self.seconds is not None and record.seconds - self.seconds > SILENCE_SECONDS:
            return True
        return len(self.pending) > NOISE_LIMIT or len(self.lines) > LINE_LIMIT or self.after > AFTERMATH_LINES

    def is_carried_on_by(self, wording: Format) -> bool:
        kind = self.best[0].kind
        if self.ended:
            return wording.kind is Kind.PANIC and kind in wording.late
        return kind in wording.late or (self.fresh and kind in wording.joins)


class _Collector:
    """Sorts the lines of a log into drafts, one open draft a caller where callers are printed."""

    def __init__(self, stamped: bool) -> None:
        self.drafts: list[_Draft] = []
        self._open: dict[str, _Draft] = {}
        self._clock = -1.0
        self._stamped = stamped
        self._booted = False

    def take(self, record: Record) -> None:
        draft = self._draft_for(record)
        banner = self._banner(record)
        if banner is not None:
            self._announce(record, banner, draft)
        elif draft is not None:
            self._continue(record, draft)
        elif stray := _END.match(record.text):
            self._announce(record, (_STRAY_END, stray), None)

    def _draft_for(self, record: Record) -> _Draft | None:
        draft = self._open.get(record.caller) or self._newest(record.caller)
        if draft is not None and draft.is_over(record):
            self._open = {caller: other for caller, other in self._open.items() if other is not draft}
            return None
        return draft

    def _newest(self, caller: str) -> _Draft | None:
        """The last draft, if it is open and CALLER may go on with it.

        A task may go on in an interrupt or trap (T77, then C1), but not as another task.
        """
        newest = self.drafts[-1] if self.drafts else None
        if newest is None or newest not in self._open.values():
            return None
        same_sort = any(other[:1] == caller[:1] and other != caller for other in newest.callers)
        return None if same_sort and newest.best[0].kind not in _CROSS_CPU else newest

    def _banner(self, record: Record) -> tuple[Format, re.Match[str]] | None:
        """The wording that RECORD matches, if it is one; a first boot's banner is none."""
        previous, self._clock = self._clock, record.seconds if record.seconds is not None else self._clock
        programs = self._stamped and record.seconds is None
        for wording in FORMATS:
            match = wording.pattern.match(record.text)
            if match is None or (programs and wording.loose):
                continue
            if wording.kind is not Kind.REBOOT:
                return wording, match
            again = self._booted or (record.seconds is not None and previous > record.seconds)
            self._booted = True
            return (wording, match) if again else None
        return None

    def _announce(self, record: Record, banner: tuple[Format, re.Match[str]], draft: _Draft | None) -> None:
        if draft is None or not draft.is_carried_on_by(banner[0]):
            draft = _Draft(record, seconds=record.seconds)
            self.drafts.append(draft)
        self._open[record.caller] = draft
        draft.callers.add(record.caller)
        draft.banners.append(banner)
        draft.add(record)

    def _continue(self, record: Record, draft: _Draft) -> None:
        foreign = record.caller not in draft.callers and draft.best[0].kind not in _CROSS_CPU
        if foreign or _KTAP.match(record.text):
            return
        draft.after += draft.ended
        if (AFTERMATH if draft.ended else BODY).match(record.text):
            draft.add(record)
        else:
            draft.pending.append(record.text)


_STRAY_END = Format(Kind.UNKNOWN, _END, Kind.UNKNOWN.value, rank=0)


def _finish(draft: _Draft) -> Splat:
    wording, match = draft.best
    groups = [m.groupdict() for _, m in draft.banners]
    location = next((g["location"] for g in groups if g.get("location")), None)
    condition = next((g["condition"].strip() for g in groups if g.get("condition")), None)
    kind = _kind(wording, location)
    named = _named(wording, match, draft.lines)
    trace = _call_trace(draft.lines, named)
    function = _guilty(wording, named, trace)
    title = _title(kind, wording, match, draft.lines)
    title += f" in {function}" if function else ""
    title += f": {condition}" if condition and kind in _ASSERTING else ""
    return Splat(
        kind=kind,
        title=title,
        function=function,
        fingerprint=_fingerprint(kind, title, location, trace),
        lines=tuple(draft.lines),
        condition=condition,
        location=location,
        call_trace=trace,
        seq=draft.first.seq,
        seconds=draft.first.seconds,
    )


def _follows_a_death(splat: Splat) -> bool:
    """Whether SPLAT is a warning that the death of a task in an exception brings about.

    arm64 7.2: the task exits with its interrupts masked, of which __switch_to() warns once (debug_switch_state()),
    and the CPU never leaves the exception, of which ct_kernel_exit() or ct_kernel_enter() warns once when idle.
    """
    if splat.kind is not Kind.WARNING:
        return False
    return "make_task_dead" in splat.call_trace or (splat.function or "").startswith("ct_kernel_e")


def _kind(wording: Format, location: str | None) -> Kind:
    if wording.kind in (Kind.WARNING, Kind.KERNEL_BUG) and location:
        return next((kind for part, kind in KINDS_BY_FILE if part in location), wording.kind)
    return wording.kind


def _named(wording: Format, match: re.Match[str], lines: Sequence[str]) -> str | None:
    """The function that a report names outside its trace."""
    if wording.blame is Blame.LOCK:
        at = _LOCK_AT.search("\n".join(lines))
        return _plain(at["function"]) if at else None
    banner = match.groupdict().get("function")
    if wording.blame is Blame.BANNER and banner:
        return _plain(banner)
    if wording.blame is not Blame.TRACE:
        return next((_plain(m["function"]) for m in map(_POINTER.match, lines) if m), None)
    return None


def _call_trace(lines: Sequence[str], named: str | None) -> tuple[str, ...]:
    """The functions of the first call trace, from the NAMED one on.

    x86 does not repeat the function at the instruction pointer in the trace, and the trace of a trap
    may begin with the trap's own handlers: either way it begins with NAMED here.
    """
    inside = False
    frames: list[str] = []
    for line in lines:
        if _TRACE.match(line):
            inside = not frames
        elif inside and _TRACE_END.match(line):
            inside = False
        match = _FRAME.match(line) if inside else None
        if match and not match["unsure"]:
            frames.append(_plain(match["function"] or match["callee"]))
    if named in frames:
        frames = frames[frames.index(named) :]
    elif named:
        frames.insert(0, named)
    return tuple(frames)


def _guilty(wording: Format, named: str | None, trace: Sequence[str]) -> str | None:
    """The function that the report is about, past the report's own machinery."""
    innocent = [MACHINERY]
    if wording.blame is Blame.TRACE:
        innocent.append(ORDINARY)
    if wording.kind in _STUCK:
        innocent.append(WAITING)
    for name in [named, *trace] if named else trace:
        if not any(pattern.match(name) for pattern in innocent):
            return name
    return None if wording.kind in _STUCK else named


def _plain(function: str) -> str:
    """FUNCTION without what the compiler appends to a clone's name."""
    return _CLONE.sub("", function)


def _title(kind: Kind, wording: Format, match: re.Match[str], lines: Sequence[str]) -> str:
    groups = {name: value or "" for name, value in match.groupdict().items()}
    title = wording.title.format(**groups).rstrip(":. ")
    if wording.loose or kind in (Kind.PANIC, Kind.SLAB):  # the words are not the kernel's alone
        title = _anonymous(title)
    access = next((m[1] for m in map(_ACCESS.match, lines) if m), None)
    return f"{title} {access}" if kind is Kind.KASAN and access else title


def _anonymous(text: str) -> str:
    """TEXT without what differs from run to run."""
    text = re.sub(r"\b(?:0x[0-9a-f]+|[0-9a-f]{8,})\b", "ADDR", text, flags=re.IGNORECASE)
    text = re.sub(r"\+ADDR/ADDR\b", "", text)
    text = _TASK.sub("TASK", text)
    text = re.sub(r"(?<![\w.-])\d+\b", "NUM", text)
    return " ".join(text.split())


def _fingerprint(kind: Kind, title: str, location: str | None, trace: Sequence[str]) -> str:
    """A hash of what names the complaint, not of where in memory, when or on which CPU it came.

    The line number is left out, since it moves with every patch, and the folder too: an out-of-tree module
    prints the absolute path of the tree's headers. A stall stops its victim anywhere, so that
    its trace says less than its title.
    """
    file = (location or "").rpartition(":")[0].rpartition("/")[2]
    frames = [] if kind in _STUCK else [name for name in trace if not MACHINERY.match(name)][:3]
    return hashlib.sha256("\0".join((kind.name, title, file, *frames)).encode()).hexdigest()[:16]
