"""`swarm`: block by block, who serves a model."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.hosted_model import configured_or_hosted
from torbiz_tui.commands.logs_printing import wants_colours
from torbiz_tui.commands.output import PROGRAM, someone_reads, tell, write, write_json
from torbiz_tui.errors import ExitCode, NotServedError, TorbizError, UsageError
from torbiz_tui.swarm_map.as_json import as_json
from torbiz_tui.swarm_map.coverage import cover
from torbiz_tui.swarm_map.monitor import STAGE_TITLES, Looking, SwarmEvent, Trouble, looking_for
from torbiz_tui.swarm_map.picture import picture
from torbiz_tui.swarm_map.rows import Row
from torbiz_tui.swarm_map.snapshot import Snapshot, peers_of
from torbiz_tui.swarm_map.table import table

# Of the 16 colours those that can be read on black and on white.
_CODES = {
    "head": "1",
    "good": "32",
    "thin": "33",
    "bad": "31",
    "joining": "36",
    "offline": "2",
    "own": "1;35",
    "dim": "2",
}
_HOME_AND_CLEAR = "\x1b[H\x1b[2J"
_WIDTH = 80
_SAID_EVERY_S = 5.0


def run(call: Call) -> int:
    """Print the picture and the table; with `--watch` again after each look."""

    async def show(services: Services) -> int:
        model = await configured_or_hosted(services)
        if not model:
            raise UsageError(
                "Whose blocks should be shown?",
                remedy="Name a model, or set `model` in the configuration.",
                code="no_model",
            )
        await services.sharing.attach()
        output = _Output(services, json=call.options.json, watching=call.options.watch)
        async with aclosing(services.swarm_monitor.watch(model)) as events:
            async with _waiting(model, output) as waiting:
                first = await _first(
                    events, call.options.timeout, waiting, watching=call.options.watch
                )
            output.show(first)
            if call.options.watch:
                async for event in events:
                    output.take(event)
        return ExitCode.OK if cover(first).whole else ExitCode.NOT_SERVED

    return call.run(show)


class _Waiting:
    """Says on stderr what is being waited for, and goes on saying so."""

    def __init__(self, model: str, output: _Output) -> None:
        self._model = model
        self._output = output
        self._began = time.monotonic()
        self._stage = ""

    def follow(self, event: Looking) -> None:
        """The monitor is so far."""
        if not self._stage:
            tell(f"{looking_for(self._model, event.where)}…")
            if event.last is not None:
                self._output.show_last(event.last)
        self._stage = STAGE_TITLES[event.stage]

    async def go_on(self) -> None:
        """Say every few seconds how long it lasts, and at what it is."""
        while True:
            await asyncio.sleep(_SAID_EVERY_S)
            if self._stage:
                tell(f"{self._stage}… {time.monotonic() - self._began:.0f} s")


@asynccontextmanager
async def _waiting(model: str, output: _Output) -> AsyncIterator[_Waiting]:
    waiting = _Waiting(model, output)
    telling = asyncio.create_task(waiting.go_on(), name="tell that it lasts")
    try:
        yield waiting
    finally:
        telling.cancel()


async def _first(
    events: AsyncGenerator[SwarmEvent, None],
    timeout_s: float,
    waiting: _Waiting,
    *,
    watching: bool,
) -> Snapshot:
    """The first look. Raises TorbizError; while watching only when the time is over."""
    trouble: TorbizError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            async for event in events:
                if isinstance(event, Snapshot):
                    return event
                if isinstance(event, Looking):
                    waiting.follow(event)
                if isinstance(event, Trouble):
                    trouble = event.error
                    if not watching:
                        break
                    _tell(event)
    except TimeoutError:
        if trouble is None:
            raise TorbizError(
                f"The swarm did not answer within {timeout_s:g} s.",
                remedy="Try again, or give it longer with --timeout.",
                code="timeout",
            ) from None
    assert trouble is not None
    if trouble.code == "model_unknown":
        raise NotServedError(trouble.what, remedy=trouble.remedy, code=trouble.code)
    raise trouble


def _tell(trouble: Trouble) -> None:
    again = f" Trying again in {trouble.again_in_s:.0f} s." if trouble.again_in_s >= 1 else ""
    tell(f"{PROGRAM}: {trouble.error.what} {trouble.error.why}".rstrip() + again)


class _Output:
    """Prints looks, on a terminal one in the place of the other."""

    def __init__(self, services: Services, *, json: bool, watching: bool) -> None:
        self._services = services
        self._json = json
        self._watching = watching
        self._in_place = watching and someone_reads() and not json
        self._colours = wants_colours()
        self._printed = 0

    def take(self, event: SwarmEvent) -> None:
        """Print a look, tell of a trouble."""
        if isinstance(event, Snapshot):
            self.show(event)
        elif isinstance(event, Trouble):
            _tell(event)
        else:
            assert isinstance(event, Looking)

    def show_last(self, looked: Snapshot) -> None:
        """Show in grey how the swarm was before, where the next look will take its place."""
        if not self._in_place:
            return
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(looked.looked_at))
        rows = self._rows(looked, f"As it was at {at}; looking for it now. Ctrl-C ends it.")
        write(_HOME_AND_CLEAR + self._text([tuple((t, "dim") for t, _s in row) for row in rows]))

    def show(self, looked: Snapshot) -> None:
        """Print a look."""
        if self._json:
            write_json(as_json(self._marked(looked)))
            return
        at = time.strftime("%H:%M:%S", time.localtime(looked.looked_at))
        text = self._text(self._rows(looked, f"Looked at {at}; Ctrl-C ends it."))
        if self._in_place:
            text = _HOME_AND_CLEAR + text
        elif self._printed:
            text = f"\n{text}"
        self._printed += 1
        write(text)

    def _marked(self, looked: Snapshot) -> Snapshot:
        return looked.marked(peers_of(self._services.sharing.state.addresses))

    def _rows(self, looked: Snapshot, head: str) -> list[Row]:
        """The picture and the table, with a first line while watching, for the room there is."""
        snapshot = self._marked(looked)
        size = shutil.get_terminal_size((_WIDTH, 24))
        width = size.columns if someone_reads() else _WIDTH
        rows = [*picture(snapshot, width), (), *table(snapshot, width)]
        if self._watching:
            rows.insert(0, ((head, "dim"),))
        if self._in_place and len(rows) > size.lines - 1:
            left_out = len(rows) - (size.lines - 2)
            rows[size.lines - 2 :] = [((f"… {left_out} more rows", "dim"),)]
        return rows

    def _text(self, rows: Sequence[Row]) -> str:
        return "".join(f"{self._line(row)}\n" for row in rows)

    def _line(self, row: Row) -> str:
        if not self._colours:
            return "".join(text for text, _style in row).rstrip()
        return "".join(_coloured(row))


def _coloured(row: Row) -> Sequence[str]:
    return [
        f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and text.strip() else text
        for text, style in row
    ]
