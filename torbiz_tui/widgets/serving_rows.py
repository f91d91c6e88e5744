"""The numbers of a server that serves, row by row, with short histories beside them."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from torbiz_tui.sharing.state import SharingState
from torbiz_tui.sharing.when_served import pauses_at
from torbiz_tui.widgets.durations import amount, memory, whole_seconds
from torbiz_tui.widgets.sparkline import sparkline
from torbiz_tui.widgets.step_list import bar

Part = str | Content | tuple[str, str]
Row = tuple[str, list[Part], Content]
"""A label, the value, and what stands beside it."""

_LABEL = 12
_VALUE = 31
_MOST_BESIDE = 90
_BAR = 12
_NOTHING = Content("")
# Memory hardly changes: a line at the very top would look like a limit.
_HEADROOM = 1.3


def serving_rows(state: SharingState, width: int) -> list[Part]:
    """The rows of a state for a panel so many cells wide, each after a line break."""
    room = width - _LABEL - _VALUE - 1
    parts: list[Part] = []
    for label, value, beside in _rows(state, min(room, _MOST_BESIDE)):
        text = Content.assemble(*value)
        parts += [(f"\n{label:<{_LABEL}}", "dim"), text]
        if beside.cell_length and beside.cell_length <= room:
            parts += [" " * max(1, _VALUE - text.cell_length), beside]
    return parts


def _rows(state: SharingState, room: int) -> Iterator[Row]:
    yield from _place(state)
    yield from _served(state, room)
    yield from _used(state, room)
    if state.throughput is not None:
        yield "Throughput", [f"{state.throughput:,.0f} tokens/s per block"], _NOTHING
    if state.container:
        yield "Container", [state.container], _NOTHING


def _place(state: SharingState) -> Iterator[Row]:
    value: list[Part] = []
    if state.uptime_s is not None:
        value += [whole_seconds(state.uptime_s), ("  ", "")]
    if state.blocks is not None:
        total = f" of {state.spec.num_blocks}" if state.spec is not None else ""
        count = state.blocks[1] - state.blocks[0]
        value += [("blocks ", "dim"), f"{state.blocks[0]}:{state.blocks[1]}"]
        value += [(f" ({count}{total})  ", "dim")]
    if state.spec is not None:
        value += [("port ", "dim"), str(state.spec.port)]
    if value:
        yield "Serving for" if state.uptime_s is not None else "Serving", value, _NOTHING
    if state.spec is not None and (pauses := pauses_at(state.spec)):
        yield "Pauses", [pauses], _NOTHING
    if state.swarm is not None:
        style = "" if state.swarm.whole else "bold $text-warning"
        yield "Swarm", [(state.swarm.sentence, style)], _NOTHING


def _served(state: SharingState, room: int) -> Iterator[Row]:
    requests = f"{state.requests_open} open, {state.requests_total} in all"
    served = state.served
    if served is None:
        yield "Requests", [requests], _NOTHING
        return
    rate = 0.0 if state.paused else served.rate
    yield "Speed", [f"{rate:,.1f} tokens/s"], sparkline(state.histories.tokens, room)
    done = f"{served.prompt_tokens:,} of prompts, {served.generated_tokens:,} generated"
    yield "Tokens", [done], _NOTHING
    named = [f"…{name}" for name in served.client_names]
    if served.clients > len(named):
        named.append(f"and {served.clients - len(named)} more")
    while named and len(", ".join(named)) > room - 5:
        named = [*named[:-2], "…"] if len(named) > 1 else []
    clients = Content.assemble(("from ", "dim"), ", ".join(named)) if named else _NOTHING
    yield "Requests", [requests], clients
    if served.cache_tokens_size:
        value = f"{served.cache_tokens:,} of {served.cache_tokens_size:,} tokens"
        full = bar(served.cache_tokens / served.cache_tokens_size, _BAR)
        size = f"  {amount(served.cache_bytes)} of {amount(served.cache_bytes_size)}"
        beside = Content.assemble(full, (size, "dim"))
        yield "Cache", [value], beside if beside.cell_length <= room else full


def _used(state: SharingState, room: int) -> Iterator[Row]:
    from torbiz_tui.sharing.measuring import traffic_of

    used, past = state.resources, state.histories
    if used is not None:
        cpu = f"{used.cpu_percent:.0f}% of a core"
        yield "CPU", [cpu], sparkline(past.cpu, room, top=100.0)
        top = _HEADROOM * max((0.0, *past.memory))
        yield "Memory", [memory(used.memory_bytes)], sparkline(past.memory, room, top=top)
    if state.gpu is not None:
        busy = f"{state.gpu.percent:.0f}%"
        if state.gpu.memory is not None:
            busy += f", {memory(state.gpu.memory)} used"
        # The driver tells of the whole device, whoever uses it.
        yield "GPU (all)", [busy], sparkline(past.gpu, room, top=100.0)
    if (traffic := traffic_of(state, used)) is not None:
        own = used is not None and used.network_rx_bytes is not None
        value = f"{amount(traffic[0])} received, {amount(traffic[1])} sent"
        both = [sum(pair) for pair in zip(past.received, past.sent, strict=False)]
        yield "Network" if own else "Sessions", [value], sparkline(both, room)
