"""What the server's log lines mean.

Petals and hivemind print `Mon dd HH:MM:SS.mmm [LEVEL] message`, with `[module.func:line]` before
the message when the level is not INFO. The strings are those of petals 2.2.0 (server/server.py,
server/handler.py) and hivemind 1.1.12, and those that `run_petals_seeder.py` (with `confirming.py`,
`served_counters.py` and `swarm_coverage.py`) and `supervise_server.py` print themselves.
"""

from __future__ import annotations

import ast
import re
import time
from dataclasses import dataclass, replace

from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.sharing.downloads import Download, read_progress
from torbiz_tui.sharing.remembering import read_peers_seen
from torbiz_tui.sharing.served import (
    SERVING_MARK,
    SWARM_MARK,
    Served,
    SwarmSeen,
    read_served,
    read_swarm,
)
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

EVENTS_KEPT = 200
# The clock of a container's engine may be ahead of ours.
_CLOCKS_DIFFER_S = 60.0
_LINE = re.compile(
    r"^(?P<stamp>[A-Z][a-z]{2} \d{1,2} \d{2}:\d{2}:\d{2})(?:\.\d+)? \[(?P<level>[A-Z]+)\] "
    r"(?:\[[\w.<>]+:\d+\] )?(?P<message>.*)$"
)
_ADDRESSES = re.compile(r"^Running a server on (\[.*\])$")
_ACCESS = re.compile(r"^This server is accessible (.+)$")
_SWARM = re.compile(r"^Connecting to (the public swarm|a private swarm)")
_JOINING = re.compile(r"^Announced that blocks? (.+) (?:is|are) joining$")
# Petals prints `range(0, 8)` where the blocks are given and a list where it chooses them.
_RANGE = re.compile(r"range\((\d+), (\d+)\)|(\d+):(\d+)")
_NUMBERS = re.compile(r"\d+")
_LOADED = re.compile(r"^Loaded (?!adapter )\S.* block (\d+)")
_REPORTING = re.compile(r"^Reporting throughput: ([\d.]+) tokens/sec for (\d+) blocks")
_CONFIRMED = re.compile(r"^Confirmed in the DHT: blocks (\d+):(\d+) are online")
# Told every hour, for whom the lines above were rotated away.
_STILL = re.compile(
    r"^Still serving: blocks (?P<first>\d{1,6}):(?P<end>\d{1,6}) since (?P<since>\d{1,12}),"
    r" (?P<throughput>\d{1,12}\.\d) tokens/s, at (?P<addresses>\[.*\])$"
)
_CRASHED = re.compile(r"^The server crashed \(.+\): it is started again in (\d+) s$")
_PAUSES = re.compile(r"^Sharing pauses: (.+)$")
_LOOPBACK = ("/ip4/127.", "/ip6/::1/")
_OPEN = re.compile(r"^rpc_inference\.open\(")
_CLOSE = re.compile(r"^rpc_inference\.close\(")
# Training, and questions without a session: over before anybody could see them.
_ALONE = re.compile(r"^rpc_(?:forward|backward)(?:_stream)?\(")
# The last line of a traceback below a warning: Petals says "retry in 30 sec" and there why.
_FAILED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): .*(?:disk space|space left|gated repo)")
# hivemind's, above a traceback.
_HANDLER_FAILED = "Handler failed with the exception:"
_REQUEST_FAILED = "A client's request has failed; the log says why"
# Of `draining.py` in `runner_scripts/`.
_FINISHING = "Finishing what is being answered, then stopping"
_OFFLINE = re.compile(r"^Announced that blocks? .* (?:is|are) offline$")


@dataclass(frozen=True)
class LogLine:
    """A parsed line; `at` is in seconds since the epoch, now where no time is known."""

    at: float
    level: str
    message: str


def has_time(line: str) -> bool:
    """Whether a line of the server's log says when it was written; those of a traceback do not."""
    return _LINE.match(line) is not None


def parse_line(line: str, before: str = "") -> LogLine:
    """Split a line of the server's log; a line of another form is a message of level INFO.

    Where it has no time, it has that of `before`, the last line that has one.
    """
    clean = redact(sanitize_line(line))
    match = _LINE.match(clean)
    if match is None:
        earlier = _LINE.match(before)
        at = _seconds(earlier["stamp"]) if earlier is not None else time.time()
        return LogLine(at, "INFO", clean)
    return LogLine(_seconds(match["stamp"]), match["level"], match["message"])


def _seconds(stamp: str) -> float:
    now = time.time()
    year = time.localtime(now).tm_year
    try:
        parsed = _moment(f"{year} {stamp}", now)
        # The log has no year: a date ahead of today is from the year before.
        return parsed if parsed <= now + 86_400 else _moment(f"{year - 1} {stamp}", now)
    except (ValueError, OverflowError):
        return now


def _moment(text: str, now: float) -> float:
    """A local time; of an hour that the end of summer time has just repeated one that has been."""
    parsed = time.strptime(text, "%Y %b %d %H:%M:%S")
    found = time.mktime(parsed)
    if found < now - 7200:
        # Such a log is read as a whole, and to look twice would cost as much as all the rest.
        return found
    # Which of the two it finds depends on what it was asked before.
    others = [at for at in (found - 3600, found + 3600) if time.localtime(at)[:6] == parsed[:6]]
    moments = [found, *others]
    return max((at for at in moments if at <= now + _CLOCKS_DIFFER_S), default=min(moments))


def advance(state: SharingState, line: str, before: str = "") -> SharingState:
    """The state after one more line of the server's log; `before` is the last that has a time."""
    parsed = parse_line(line, before)
    message = parsed.message
    if message.startswith(SERVING_MARK) and (served := read_served(message)) is not None:
        return _serving(state, served)
    if match := _STILL.match(message):
        return _still_serving(state, parsed, match)
    if match := _PAUSES.match(message):
        return _event(replace(_started_again(state), pauses=match[1]), parsed, message)
    if match := _CRASHED.match(message):
        crashed = replace(_started_again(state), restart_at=parsed.at + int(match[1]))
        return _event(crashed, parsed, message, warning=True)
    if (download := read_progress(message, state.download)) is not None:
        return _downloading(state, parsed, download)
    if (seen := read_peers_seen(message)) is not None:
        return replace(state, peers_seen=seen[1])
    if parsed.level in ("WARN", "WARNING", "ERROR", "CRITICAL"):
        text = _REQUEST_FAILED if message == _HANDLER_FAILED else message
        return _event(state, parsed, text, warning=True)
    if message.startswith("Starting a server for ") and (
        state.phase is Phase.SERVING or state.restart_at is not None or state.pauses
    ):
        return _event(_started_again(state), parsed, "The server was started again")
    if _FAILED.match(message):
        return _event(state, parsed, message, warning=True)
    if match := _CONFIRMED.match(message):
        blocks = (int(match[1]), int(match[2]))
        return _event(
            replace(
                state,
                phase=Phase.SERVING if state.phase is Phase.STARTING else state.phase,
                stage=Stage.SERVING,
                blocks=blocks,
                blocks_loaded=blocks[1] - blocks[0],
                serving_since=state.serving_since or parsed.at,
            ),
            parsed,
            f"Serving blocks {blocks[0]}:{blocks[1]}, confirmed in the DHT",
        )
    if message == "Started":
        return _event(_at_stage(state, Stage.CHECKING), parsed, "Petals has started")
    if _LOADED.match(message):
        return replace(_at_stage(state, Stage.LOADING), blocks_loaded=state.blocks_loaded + 1)
    if match := _JOINING.match(message):
        return _joining(state, parsed, match[1])
    if match := _ADDRESSES.match(message):
        addresses = _addresses(match[1])
        return _event(replace(state, addresses=addresses), parsed, "The server has its addresses")
    if match := _SWARM.match(message):
        return _event(_at_stage(state, Stage.CONNECTING), parsed, f"Connecting to {match[1]}")
    if match := _ACCESS.match(message):
        return _event(state, parsed, f"Accessible {match[1].rstrip('.')}")
    if match := _REPORTING.match(message):
        return _event(
            replace(state, throughput=float(match[1])),
            parsed,
            f"Throughput {match[1]} tokens/s for {match[2]} blocks",
        )
    if message.startswith("Measuring network and compute throughput"):
        return _event(_at_stage(state, Stage.MEASURING), parsed, "Measuring the throughput")
    return _serving_line(state, parsed)


def _serving(state: SharingState, told: Served) -> SharingState:
    """The server's own numbers are right; its other lines tell of requests a little earlier."""
    served = told.after(state.earlier)
    state = replace(state, served=served, requests_open=served.open, requests_total=served.requests)
    if state.phase is Phase.STARTING:
        # It tells them only while it serves, so the log has lost how that began.
        return replace(state, phase=Phase.SERVING, stage=Stage.SERVING)
    return state


def _still_serving(state: SharingState, parsed: LogLine, told: re.Match[str]) -> SharingState:
    """What is not known from the beginning of the log, which may be gone."""
    if state.serving_since is not None or state.phase is Phase.STOPPING:
        return state
    blocks = (int(told["first"]), int(told["end"]))
    known = replace(
        state,
        phase=Phase.SERVING,
        stage=Stage.SERVING,
        blocks=blocks,
        blocks_loaded=blocks[1] - blocks[0],
        serving_since=float(told["since"]),
        throughput=state.throughput or float(told["throughput"]),
        addresses=state.addresses or _addresses(told["addresses"]),
    )
    text = f"Serving blocks {blocks[0]}:{blocks[1]}; the log holds no more how that began"
    return _event(known, parsed, text)


def _swarm_seen(state: SharingState, parsed: LogLine, seen: SwarmSeen) -> SharingState:
    before = state.swarm
    state = replace(state, swarm=seen)
    if before is not None and before.missing == seen.missing:
        return state
    if seen.whole:
        # That it is whole at the start is nothing that has happened.
        return state if before is None else _event(state, parsed, "The swarm is whole again")
    return _event(state, parsed, f"In the swarm, {seen.missing_text}", warning=True)


def _serving_line(state: SharingState, parsed: LogLine) -> SharingState:
    message = parsed.message
    if message.startswith(SWARM_MARK) and (seen := read_swarm(message)) is not None:
        return _swarm_seen(state, parsed, seen)
    if _OPEN.match(message):
        return replace(
            state,
            requests_open=state.requests_open + 1,
            requests_total=state.requests_total + 1,
        )
    if _ALONE.match(message):
        return replace(state, requests_total=state.requests_total + 1)
    if _CLOSE.match(message):
        return replace(state, requests_open=max(0, state.requests_open - 1))
    if _OFFLINE.match(message):
        return _event(state, parsed, "The blocks are announced offline")
    if message == _FINISHING:
        told = replace(state, finishing=True)
        # Who has asked for it here has said so already.
        return told if state.phase is Phase.STOPPING else _event(told, parsed, message)
    if message.startswith("Caught KeyboardInterrupt"):
        return _event(state, parsed, "Shutting down")
    return state


def _started_again(state: SharingState) -> SharingState:
    """As after a crash or a `docker restart`, where one log goes on with another run."""
    return replace(
        state,
        phase=Phase.STARTING,
        stage=Stage.LAUNCHING,
        blocks=None,
        blocks_loaded=0,
        download=None,
        serving_since=None,
        requests_open=0,
        served=None,
        earlier=state.served or state.earlier,
        swarm=None,
        restart_at=None,
        finishing=False,
        pauses="",
    )


def _downloading(state: SharingState, parsed: LogLine, download: Download) -> SharingState:
    begun = state.download is None or not state.download.total
    state = replace(_at_stage(state, Stage.DOWNLOADING), download=download)
    if download.waiting:
        return _event(state, parsed, f"The download waits: {download.waiting}", warning=True)
    if begun:
        return _event(state, parsed, "Downloading the blocks")
    return state


def _at_stage(state: SharingState, stage: Stage) -> SharingState:
    return state if state.stage is Stage.SERVING else replace(state, stage=stage)


def _joining(state: SharingState, parsed: LogLine, text: str) -> SharingState:
    blocks = None
    if match := _RANGE.search(text):
        blocks = (int(match[1] or match[3]), int(match[2] or match[4]))
    elif numbers := [int(number) for number in _NUMBERS.findall(text)]:
        blocks = (min(numbers), max(numbers) + 1)
    if blocks is None:
        return _at_stage(state, Stage.ANNOUNCING)
    return _event(
        replace(_at_stage(state, Stage.ANNOUNCING), blocks=blocks, blocks_loaded=0),
        parsed,
        f"Announced: blocks {blocks[0]}:{blocks[1]} are joining",
    )


def _addresses(text: str) -> tuple[str, ...]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ()
    if not isinstance(found, list):
        return ()
    addresses = [address for address in found if isinstance(address, str)]
    # The first one is what a friend is given, who has no use for this machine's loopback.
    return tuple(sorted(addresses, key=lambda address: address.startswith(_LOOPBACK)))


def _event(
    state: SharingState, parsed: LogLine, text: str, *, warning: bool = False
) -> SharingState:
    event = SharingEvent(parsed.at, text, warning)
    return replace(state, events=(*state.events, event)[-EVENTS_KEPT:])
