"""`share`: hosts in the background."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace as changed

from torbiz_tui.assembly import Services
from torbiz_tui.broadcast import Subscription
from torbiz_tui.commands.asking import agreed, agreed_to_pickled
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell, write_line
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.sharing.inviting import ask_line, share_line
from torbiz_tui.sharing.refusals import DOES_NOT_FIT, NAME_TAKEN
from torbiz_tui.sharing.request import ShareRequest
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState, Stage

# Often enough to see it move, and no wall of lines.
_DOWNLOAD_TOLD_S = 5.0
_NOTHING = "Nothing was started."


def run(call: Call) -> int:
    """Start the server; with `--wait` until it serves."""
    timeout_s: float | None = call.options.timeout
    if timeout_s is not None and not call.options.wait:
        raise UsageError("--timeout says how long --wait waits: give --wait too.")

    async def share(services: Services) -> int:
        sharing = services.sharing
        request = changed(
            sharing.default_request(),
            anyway=call.options.anyway,
            allow_pickled=call.options.allow_pickled,
        )
        if call.options.show_command:
            write_line(await sharing.command_text(request))
            return ExitCode.OK
        await sharing.attach()
        with sharing.subscribe() as changes:
            telling = asyncio.create_task(_tell_stages(changes), name="tell of the start")
            try:
                await _start(sharing, request, replace=call.options.replace)
                if not call.options.wait:
                    tell(
                        f"Sharing {request.model} has begun; it goes on in the background"
                        f" (see `{PROGRAM} status`, end it with `{PROGRAM} stop`)."
                    )
                    return ExitCode.OK
                try:
                    state = await sharing.wait_serving(timeout_s)
                except TorbizError as error:
                    await agreed_to_pickled(error, otherwise=_NOTHING)
                    request = changed(request, allow_pickled=True)
                    await _start(sharing, request, replace=call.options.replace)
                    state = await sharing.wait_serving(timeout_s)
            except asyncio.CancelledError:
                if sharing.state.active:
                    tell(f"The start goes on in the background; `{PROGRAM} stop` ends it.")
                raise
            finally:
                telling.cancel()
        for line in invitation(state, public=not (request.new_swarm or request.initial_peers)):
            write_line(line)
        return ExitCode.OK

    return call.run(share)


async def _start(sharing: SharingService, request: ShareRequest, *, replace: bool) -> None:
    """Start, after the questions that only a person can answer."""
    try:
        spec = await sharing.plan(request)
    except TorbizError as error:
        request = changed(request, anyway=True)
        question = "Share one block all the same?"
        await agreed(error, DOES_NOT_FIT, question, otherwise=_NOTHING)
        spec = await sharing.plan(request)
    for text in (spec.fit_note, spec.fit_warning):
        if text:
            tell(text)
    try:
        await sharing.start(request, replace=replace)
    except TorbizError as error:
        question = "Remove that container and start?"
        await agreed(error, NAME_TAKEN, question, otherwise=_NOTHING)
        await sharing.start(request, replace=True)


def invitation(state: SharingState, *, public: bool) -> list[str]:
    """How others join: to ask, and to host too."""
    assert state.spec is not None
    model, revision = state.spec.model, state.spec.revision
    blocks = f" blocks {state.blocks[0]}:{state.blocks[1]} of" if state.blocks else ""
    lines = [f"Serving{blocks} {model}."]
    if public or not state.addresses:
        return [*lines, f"To ask it: {ask_line(model, revision)}"]
    reachable = [a for a in state.addresses if not a.startswith(("/ip4/127.", "/ip6/::1/"))]
    address = (reachable or list(state.addresses))[0]
    lines += [
        f"To ask it: {ask_line(model, revision, (address,))}",
        f"To host more of it: {share_line(model, revision, (address,))}",
    ]
    if not reachable:
        lines.append("It is on loopback: only this machine reaches it.")
    return lines


async def _tell_stages(changes: Subscription[SharingState]) -> None:
    last = told = ""
    told_at = -_DOWNLOAD_TOLD_S
    async for state in changes:
        if state.phase is Phase.STARTING and state.stage_text != last:
            if state.stage is Stage.DOWNLOADING and time.monotonic() - told_at < _DOWNLOAD_TOLD_S:
                continue
            last, told_at = state.stage_text, time.monotonic()
            tell(last)
        known = state.problem if state.phase is Phase.STARTING else None
        if known is not None and known.symptom.id != told:
            told = known.symptom.id
            tell(f"{known.title} {known.cause} {known.remedy}")
