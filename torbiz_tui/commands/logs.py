"""`logs`: prints the log sources, their last lines or what fits, and what follows."""

from __future__ import annotations

import argparse
import asyncio
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from torbiz_tui.commands.call import Call
from torbiz_tui.commands.logs_container import container_log_kept, container_services
from torbiz_tui.commands.logs_printing import JsonPrinter, LinePrinter, Printer, wants_colours
from torbiz_tui.commands.logs_reading import LiveMerge, Reading, Wanted, merged
from torbiz_tui.commands.output import OutputClosedError, silence, tell
from torbiz_tui.config_errors import did_you_mean
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.logs.filtering import Filter, levels_from
from torbiz_tui.logs.sources import LogSource, log_sources

_READER_GONE_POLL_S = 0.5
_LOOK_FOR_LOGS_S = 1.0


def run(call: Call) -> int:
    """Print the sources that were asked for."""
    options = call.options
    fitting = _filter(options)
    names = [*options.names, *options.more_names]
    # Whether there is a container is asked only where its log may be wanted.
    may_be_container = not names or {"container", "container.log"} & set(names)
    services = container_services(call) if may_be_container else None
    sources = _chosen(log_sources(call.paths, container=services is not None), names)
    lines: int | None = options.lines
    if lines is None and fitting.empty:
        lines = call.loaded.config.logs.tail_lines
    printer = _printer(options, sources, fitting)
    printing = _Printing(sources, Wanted(lines, fitting), printer, merging=options.merge)

    async def print_all() -> None:
        async with container_log_kept(services, following=options.follow):
            if options.follow:
                await printing.follow(None if names else lambda: log_sources(call.paths))
            else:
                await printing.print()

    try:
        asyncio.run(print_all())
    except ExceptionGroup as group:
        # The first one ended the others.
        raise group.exceptions[0] from None
    if not any(source.exists for source in sources):
        tell(f"Nothing has been logged yet in {call.paths.logs}.")
    return ExitCode.FAILED if printing.failed else ExitCode.OK


def _filter(options: argparse.Namespace) -> Filter:
    """What a line has to be. Raises UsageError."""
    if options.since is not None and options.until is not None and options.until < options.since:
        raise UsageError(
            "--until is before --since.", remedy="Nothing can be from then.", code="bad_times"
        )
    try:
        return Filter(
            text=options.grep or "",
            regex=bool(options.grep),
            levels=levels_from(options.level) if options.level else frozenset(),
            since=options.since,
            until=options.until,
        )
    except TorbizError as error:
        raise UsageError(f"--grep {error.what}", why=error.why, code=error.code) from error


def _printer(options: argparse.Namespace, sources: Sequence[LogSource], fitting: Filter) -> Printer:
    if options.json:
        return JsonPrinter(explaining=options.explain)
    return LinePrinter(
        sources,
        merged=options.merge,
        colours=wants_colours(),
        marked=fitting.query(),
        explaining=options.explain,
    )


def _chosen(known: Sequence[LogSource], names: Sequence[str]) -> Sequence[LogSource]:
    """The sources of these names, or of these files; without a name all. Raises UsageError."""
    if not names:
        return known
    chosen: list[LogSource] = []
    for name in names:
        source = next((one for one in known if name in (one.name, one.file.name)), None)
        if source is None:
            there = [one.name for one in known]
            raise UsageError(
                f"There is no log {name!r}{did_you_mean(name, there)}",
                remedy=f"The logs are: {', '.join(there)}.",
                code="unknown_log",
            )
        if source not in chosen:
            chosen.append(source)
    return chosen


class _Printing:
    """Reads the sources and prints them, one after the other or merged."""

    def __init__(
        self, sources: Sequence[LogSource], wanted: Wanted, printer: Printer, *, merging: bool
    ) -> None:
        self._wanted = wanted
        self._printer = printer
        self._merging = merging and len(sources) > 1
        # Where the filter is for the last lines of all together, the merge does it.
        filtered = not self._merging or wanted.lines is None
        self._readings = [Reading(source, wanted, filtered=filtered) for source in sources]
        self.failed = False
        """Whether a log could not be read."""
        for reading in self._readings:
            if reading.problem:
                self.failed = True
                tell(f"The log {reading.source.name} cannot be read: {reading.problem}.")

    async def print(self, *, finish: bool = True) -> None:
        """Print what is there; with `finish` also last lines without an end."""
        if self._merging:
            async for reading, lines in merged(self._readings, self._wanted, finish=finish):
                self._printer.print(reading.source, lines)
            return
        for reading in self._readings:
            for lines in reading.earlier(finish=finish):
                self._printer.print(reading.source, lines)
                # Let a Ctrl-C through.
                await asyncio.sleep(0)

    async def follow(self, look: Callable[[], Sequence[LogSource]] | None) -> None:
        """Print what is there, then what comes, without an end; `look` tells of new logs."""
        await self.print(finish=False)
        merge = LiveMerge() if self._merging else None
        async with asyncio.TaskGroup() as group:

            def begin(reading: Reading) -> None:
                task = self._follow(reading) if merge is None else merge.take_in(reading)
                group.create_task(task)

            for reading in self._readings:
                begin(reading)
            if merge is not None:
                group.create_task(self._print_merged(merge))
            if look is not None:
                group.create_task(self._find_new(look, begin))
            group.create_task(_watch_reader())

    async def _follow(self, reading: Reading) -> None:
        async for lines in reading.all():
            self._printer.print(reading.source, lines)

    async def _print_merged(self, merge: LiveMerge) -> None:
        async for reading, lines in merge.ready():
            self._printer.print(reading.source, lines)

    async def _find_new(
        self, look: Callable[[], Sequence[LogSource]], begin: Callable[[Reading], None]
    ) -> None:
        known = {reading.source.name for reading in self._readings}
        while True:
            await asyncio.sleep(_LOOK_FOR_LOGS_S)
            for source in look():
                if source.name not in known:
                    known.add(source.name)
                    begin(Reading(source, Wanted(None, self._wanted.fitting)))


async def _watch_reader() -> None:
    """Raises OutputClosedError when nobody reads stdout any more, also while nothing is logged."""
    poll = select.poll()
    with suppress(OSError, ValueError):
        poll.register(sys.stdout.fileno(), 0)
        while True:
            await asyncio.sleep(_READER_GONE_POLL_S)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                silence(sys.stdout)
                raise OutputClosedError
