"""`status`: what is shared, how it goes, and where it is reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import disk_size, write_json, write_line
from torbiz_tui.environments.chat_records import ChatRunnerRecord
from torbiz_tui.errors import ExitCode
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState, Stage
from torbiz_tui.sharing.when_served import pauses_at

_MEASURING_S = 2.0
_DISK_S = 0.5
_OWN_PARTS = {
    "image": "image",
    "env": "venv",
    "models": "blocks",
    "container_models": "the container's blocks",
    "logs": "logs",
    "history": "conversations",
}


def run(call: Call) -> int:
    """Print the state; the exit code says whether blocks are served now."""

    async def show(services: Services) -> int:
        measuring = asyncio.create_task(services.storage.quick(_DISK_S), name="disk use")
        state = await _measured(services.sharing)
        if state.finishing and state.phase is Phase.SERVING:
            # Nobody new is served any more, whoever has asked it to stop.
            state = replace(state, phase=Phase.STOPPING)
        disk = await measuring
        chats = services.chat_runners()
        if call.options.json:
            environment = services.environment.hosting.name
            image = services.config.docker.image if environment == "docker" else None
            write_json(as_json(state, environment, image, disk, chats))
        else:
            for line in in_words(state, services.environment.hosting.name):
                write_line(line)
            for chat in chats:
                write_line(f"{'chat':<12}{_chat_in_words(chat)}")
            if any(disk.get(part) for part in _OWN_PARTS):
                write_line(f"{'disk':<12}{_disk_in_words(disk)}")
        return ExitCode.OK if state.phase is Phase.SERVING else ExitCode.NOT_SHARING

    return call.run(show, create=False)


async def _measured(sharing: SharingService) -> SharingState:
    """The state with what the server uses, which is known a moment after attaching."""
    with sharing.subscribe() as changes:
        state = await sharing.attach()
        with suppress(TimeoutError):
            async with asyncio.timeout(_MEASURING_S):
                if state.active and state.resources is None:
                    async for state in changes:
                        if state.resources is not None or not state.active:
                            break
    return sharing.state


def as_json(
    state: SharingState,
    environment: str,
    image: str | None,
    disk: dict[str, int | None],
    chats: Sequence[ChatRunnerRecord],
) -> dict[str, object]:
    """The state as `docs/commands.md` describes it."""
    report, resources = state.exit_report, state.resources
    return {
        "phase": state.phase.value,
        "stage": state.stage.value if state.stage is not None else None,
        "model": state.spec.model if state.spec is not None else None,
        "blocks": list(state.blocks) if state.blocks is not None else None,
        "blocks_loaded": state.blocks_loaded,
        "download": asdict(state.download)
        if state.stage is Stage.DOWNLOADING and state.download is not None
        else None,
        "restart_at": state.restart_at if state.active else None,
        "pid": state.pid if state.active else None,
        "container": state.container if state.active else None,
        "container_id": state.container_id if state.active else None,
        "image": image,
        "paused": state.paused,
        "pausing": state.pauses or None,
        "pauses": _when_it_pauses(state),
        "contact_lost": state.lost or None,
        "uptime_s": round(state.uptime_s, 3)
        if state.active and state.uptime_s is not None
        else None,
        "throughput": state.throughput,
        "addresses": list(state.addresses),
        "requests_open": state.requests_open,
        "requests_total": state.requests_total,
        **_served_as_json(state),
        "cpu_percent": resources.cpu_percent if resources is not None else None,
        "memory_bytes": resources.memory_bytes if resources is not None else None,
        "network_rx_bytes": resources.network_rx_bytes if resources is not None else None,
        "network_tx_bytes": resources.network_tx_bytes if resources is not None else None,
        "failure": state.failure or None,
        "environment": environment,
        "disk": disk,
        "chat_runners": [
            {"pid": chat.pid, "model": chat.model, "uptime_s": _uptime_s(chat)} for chat in chats
        ],
        "exit": None
        if report is None
        else {
            "code": report.code,
            "signal": report.signal,
            "out_of_memory": report.out_of_memory,
        },
    }


def _when_it_pauses(state: SharingState) -> dict[str, object] | None:
    spec = state.spec
    if spec is None or not pauses_at(spec):
        return None
    return {
        "hours": spec.hours or None,
        "mains_only": spec.mains_only,
        "above_percent": spec.pause_when_busy,
    }


def _served_as_json(state: SharingState) -> dict[str, object]:
    served, swarm = state.served, state.swarm
    if not state.active:
        served, swarm = None, None
    return {
        "tokens_per_second": served.rate if served is not None else None,
        "tokens": None
        if served is None
        else {"prompt": served.prompt_tokens, "generated": served.generated_tokens},
        "attention_cache": None
        if served is None
        else {
            "tokens": served.cache_tokens,
            "tokens_size": served.cache_tokens_size,
            "bytes": served.cache_bytes,
            "bytes_size": served.cache_bytes_size,
        },
        "clients": None
        if served is None
        else {"count": served.clients, "peers": list(served.client_names)},
        "client_bytes": None
        if served is None
        else {"received": served.received, "sent": served.sent},
        "swarm": None
        if swarm is None
        else {
            "servers": swarm.servers,
            "whole": swarm.whole,
            "missing": [list(blocks) for blocks in swarm.missing],
        },
        "gpu": None
        if state.gpu is None
        else {
            "percent": state.gpu.percent,
            "memory_bytes": state.gpu.memory,
            "memory_total_bytes": state.gpu.memory_total,
        },
    }


def in_words(state: SharingState, environment: str) -> list[str]:
    """The state as lines for a person."""
    if state.phase is Phase.STOPPED or state.spec is None:
        if state.lost:
            return ["Nobody can tell whether this machine is sharing.", state.lost]
        return ["Not sharing."]
    rows = [("state", state.phase.value)]
    if state.phase is Phase.STARTING:
        rows.append(("stage", state.stage_text))
    rows.append(("model", state.spec.model))
    if state.blocks is not None:
        rows.append(("blocks", f"{state.blocks[0]}:{state.blocks[1]} of {state.spec.num_blocks}"))
    if state.active:
        rows += _running(state, environment)
    if state.failure:
        rows.append(("failure", state.failure))
    if state.remedy:
        rows.append(("to do", state.remedy))
    rows += [("address", address) for address in state.addresses if state.active]
    return [f"{name:<12}{value}" for name, value in rows]


def _running(state: SharingState, environment: str) -> list[tuple[str, str]]:
    rows = [("environment", environment)]
    if state.container is not None:
        rows.append(("container", f"{state.container} {(state.container_id or '')[:12]}".rstrip()))
    if state.pid is not None:
        rows.append(("process", str(state.pid)))
    if state.paused:
        rows.append(("paused", "It is frozen and answers nobody."))
    if state.spec is not None and (pauses := pauses_at(state.spec)):
        rows.append(("pauses", pauses))
    if state.lost:
        rows.append(("not known", state.lost))
    if state.uptime_s is not None:
        rows.append(("serving for", f"{state.uptime_s:.0f} s"))
    if state.throughput is not None:
        rows.append(("throughput", f"{state.throughput:g} tokens/s announced"))
    if state.swarm is not None:
        rows.append(("swarm", state.swarm.sentence))
    rows.append(("requests", f"{state.requests_open} open, {state.requests_total} in all"))
    rows += _served(state)
    if state.resources is not None:
        memory = state.resources.memory_bytes / 2**20
        used = f"{state.resources.cpu_percent:.0f}% CPU, {memory:.0f} MiB"
        received, sent = state.resources.network_rx_bytes, state.resources.network_tx_bytes
        if received is not None and sent is not None:
            used += f", {disk_size(received)} received, {disk_size(sent)} sent"
        rows.append(("uses", used))
    if state.gpu is not None:
        memory_used = f", {disk_size(state.gpu.memory)} used" if state.gpu.memory else ""
        rows.append(("gpu", f"{state.gpu.percent:.0f}%{memory_used}, all programs together"))
    return rows


def _served(state: SharingState) -> list[tuple[str, str]]:
    served = state.served
    if served is None:
        return []
    rows = [
        (
            "serves",
            f"{served.rate:,.1f} tokens/s; {served.prompt_tokens:,} tokens of prompts and"
            f" {served.generated_tokens:,} generated so far",
        ),
        ("cache", f"{served.cache_tokens:,} of {served.cache_tokens_size:,} tokens reserved"),
    ]
    named = ", ".join(f"…{name}" for name in served.client_names)
    more = served.clients - len(served.client_names)
    if named:
        rows.append(("clients", named + (f" and {more} more" if more > 0 else "")))
    exchanged = f"{disk_size(served.received)} received, {disk_size(served.sent)} sent"
    rows.append(("sessions", f"{exchanged} in all"))
    return rows


def _uptime_s(chat: ChatRunnerRecord) -> float:
    return round(max(0.0, time.time() - chat.started_at), 3)


def _chat_in_words(chat: ChatRunnerRecord) -> str:
    since = time.strftime("%H:%M", time.localtime(chat.started_at))
    return f"warm for {chat.model or 'a model'} since {since}, process {chat.pid}"


def _disk_in_words(disk: dict[str, int | None]) -> str:
    sizes = {name: disk.get(part) or 0 for part, name in _OWN_PARTS.items()}
    parts = [f"{name} {disk_size(size)}" for name, size in sizes.items() if size]
    return f"{disk_size(sum(sizes.values()))}: {', '.join(parts)}"
