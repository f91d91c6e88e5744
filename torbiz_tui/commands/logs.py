"""`logs`: prints the log sources, their last lines and what follows."""

from __future__ import annotations

import asyncio
import re
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import OutputClosedError, silence, tell, write
from torbiz_tui.config_errors import did_you_mean
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.logs.following import follow, tail_offset
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.sources import LogSource, log_sources

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.environments.docker.container_log import ContainerLog

_READER_GONE_POLL_S = 0.5
_UPDATE_S = 10.0


def run(call: Call) -> int:
    """Print the sources that were asked for."""
    options = call.options
    pattern = _pattern(options.grep)
    # Whether there is a container is asked only where its log may be wanted.
    wanted = options.source in (None, "container", "container.log")
    services = _container_services(call) if wanted else None
    known = log_sources(call.paths, container=services is not None)
    sources = _chosen(known, options.source)
    lines: int | None = options.lines
    if lines is None and pattern is None:
        lines = call.loaded.config.logs.tail_lines
    printer = _Printer(pattern, headings=len(sources) > 1)
    try:
        asyncio.run(_print(services, sources, printer, lines, following=options.follow))
    except ExceptionGroup as group:
        # The first one ended the others.
        raise group.exceptions[0] from None
    if not options.follow and not any(source.exists for source in sources):
        tell(f"Nothing has been logged yet in {call.paths.logs}.")
    return ExitCode.OK


def _container_services(call: Call) -> Services | None:
    from torbiz_tui.assembly import build_services, hosts_in_docker

    config = call.loaded.config
    if not hosts_in_docker(config) or not call.paths.logs.is_dir():
        return None
    call.start_log(create=False)
    return build_services(config, call.paths)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(
            f"--grep {text!r} is no regular expression.", why=f"{error}.", code="bad_pattern"
        ) from error


def _chosen(known: Sequence[LogSource], name: str | None) -> Sequence[LogSource]:
    if name is None:
        return known
    for source in known:
        if name in (source.name, source.file.name):
            return [source]
    names = [source.name for source in known]
    raise UsageError(
        f"There is no log {name!r}{did_you_mean(name, names)}",
        remedy=f"The logs are: {', '.join(names)}.",
        code="unknown_log",
    )


class _Printer:
    """Prints lines, with a heading where another source begins."""

    def __init__(self, pattern: re.Pattern[str] | None, *, headings: bool) -> None:
        self._pattern = pattern
        self._headings = headings
        self._last: LogSource | None = None

    def print(self, source: LogSource, lines: Sequence[str]) -> None:
        """Print those of the lines that match."""
        clean = [redact(sanitize_line(line)) for line in lines]
        if self._pattern is not None:
            clean = [line for line in clean if self._pattern.search(line)]
        if not clean:
            return
        if self._headings and source is not self._last:
            blank = [""] if self._last is not None else []
            clean = [*blank, f"==> {source.name} <==", *clean]
            self._last = source
        write("".join(f"{line}\n" for line in clean))


async def _print(
    services: Services | None,
    sources: Sequence[LogSource],
    printer: _Printer,
    lines: int | None,
    *,
    following: bool,
) -> None:
    container_log = services.container_log() if services is not None else None
    if services is None or container_log is None:
        await _print_all(sources, printer, lines, following=following)
        return
    keeping: asyncio.Task[None] | None = None
    try:
        await _update(container_log)
        if following:
            keeping = asyncio.create_task(container_log.keep(), name="keep the container's log")
        await _print_all(sources, printer, lines, following=following)
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        await services.close()


async def _update(container_log: ContainerLog) -> None:
    """Have in the file what the container has logged so far."""
    try:
        async with asyncio.timeout(_UPDATE_S):
            await container_log.update()
    except (TorbizError, TimeoutError) as error:
        why = f": {error.what}" if isinstance(error, TorbizError) else " in time."
        tell(f"The end of the container's log may be missing, Docker does not tell it{why}")


async def _print_all(
    sources: Sequence[LogSource], printer: _Printer, lines: int | None, *, following: bool
) -> None:
    starts = [0 if lines is None else tail_offset(source.file, lines) for source in sources]
    if not following:
        for source, start in zip(sources, starts, strict=True):
            async for batch in follow(source.file, start, ended=lambda: True):
                printer.print(source, batch)
        return
    async with asyncio.TaskGroup() as group:
        for source, start in zip(sources, starts, strict=True):
            group.create_task(_follow(source, start, printer))
        group.create_task(_watch_reader())


async def _follow(source: LogSource, start: int, printer: _Printer) -> None:
    async for batch in follow(source.file, start):
        printer.print(source, batch)


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
