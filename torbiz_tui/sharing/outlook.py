"""What the form of Share can say before anything is started: what fits here, and what would run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.errors import TorbizError
from torbiz_tui.fit import Fit, memory_text
from torbiz_tui.hardware import Hardware
from torbiz_tui.logs.redaction import redact
from torbiz_tui.sharing.fitting import asked_blocks, choose_blocks, fit_for
from torbiz_tui.sharing.refusals import DOES_NOT_FIT
from torbiz_tui.sharing.request import ShareRequest


@dataclass(frozen=True)
class Outlook:
    """What blocks mean here, in a sentence; `doubtful` where they may not fit."""

    text: str
    doubtful: bool = False


def fits_here(
    models: Sequence[ModelInfo],
    request: ShareRequest,
    config: Config,
    machine: Hardware,
    hosting: str,
) -> dict[str, Fit]:
    """How models would fit with the settings of a request, by name; those not known are left out.

    Raises UsageError (`no_device`) when there is no such device.
    """
    fits: dict[str, Fit] = {}
    for model in models:
        try:
            fits[model.name] = fit_for(request, model, config, machine, hosting)
        except TorbizError as error:
            if error.code == "no_device":
                raise
    return fits


def outlook(
    request: ShareRequest, model: ModelInfo, config: Config, machine: Hardware, hosting: str
) -> Outlook:
    """What the blocks of a request mean for this machine; its blocks are within the model."""
    total = model.num_blocks
    asked = asked_blocks(request.blocks, total)
    try:
        fit = fit_for(request, model, config, machine, hosting)
    except TorbizError as error:
        if model.demo and asked is None:
            return Outlook(f"auto: all {total} blocks")
        return Outlook(f"Whether that fits is not known: {error.why}", doubtful=True)
    try:
        chosen = choose_blocks(request, model, fit)
    except TorbizError as error:
        if error.code != DOES_NOT_FIT:
            raise
        return Outlook(f"Not one of {total} blocks fits: {_free(fit)}", doubtful=True)
    if chosen.warning:
        count = total if asked is None else asked
        return Outlook(
            f"{_blocks(count)} may not fit: {fit.blocks} of {total} do; {_free(fit)}", doubtful=True
        )
    if asked is not None:
        return Outlook(
            f"{asked} of {total} blocks: {memory_text(fit.needs.total(asked))} of {_memory(fit)}"
        )
    taken = f"all {total}" if model.demo or fit.verdict == "whole" else f"{fit.blocks} of {total}"
    about = "" if fit.place.kind == "cpu" or model.demo else "about "
    return Outlook(f"auto: {about}{taken}; {_free(fit)}")


def fit_words(fit: Fit) -> str:
    """The verdict for a column: `fits whole`, `fits 19 of 80`, `does not fit`."""
    return {"whole": "fits whole", "none": "does not fit"}.get(fit.verdict, f"fits {fit.short()}")


def conditions(model: ModelInfo) -> str:
    """What a model asks for besides memory, as a sentence; empty when that is nothing."""
    parts: list[str] = []
    if model.licence:
        parts.append(f"Licence {model.licence}")
        if model.gated:
            parts[0] += ", to be accepted at the hub (a token is needed)"
    elif model.gated:
        parts.append("Its licence has to be accepted at the hub (a token is needed)")
    if "main" in model.demands:
        parts.append("needs Petals' main branch (petals.channel)")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def one_line(command: str) -> str:
    """A command for a narrow line: of every path its last part. It holds no token."""
    joined = redact(command).replace("\\\n", " ")
    return " ".join(_short(word) for word in shlex.split(joined))


def _short(word: str) -> str:
    name, equals, value = word.rpartition("=")
    if value.startswith("/") and value.count("/") > 1 and "/p2p/" not in value:
        value = "…/" + value.rstrip("/").rpartition("/")[2]
    return f"{name}{equals}{value}"


def _free(fit: Fit) -> str:
    return (
        f"{_memory(fit)}, {fit.reserve_percent}% kept back,"
        f" {memory_text(fit.needs.per_block)} a block{fit.adapters_text()}"
    )


def _memory(fit: Fit) -> str:
    """What is free, and where that is not plain."""
    place = fit.place
    where = "" if place.kind == "cpu" else f" on {place.title}"
    return f"{memory_text(place.free or 0)} free{where}"


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"
