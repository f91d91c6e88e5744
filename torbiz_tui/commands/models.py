"""`models`: the models that Petals can serve, and how they fit on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial

from torbiz_tui.assembly import Services
from torbiz_tui.catalogue import MAIN, ModelInfo, known_models, published_models, resolve_model
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import (
    PROGRAM,
    disk_size,
    tell,
    write_json,
    write_line,
    write_table,
)
from torbiz_tui.errors import ExitCode, TorbizError
from torbiz_tui.fit import Fit, Place, block_bytes, configured_fit, configured_place, memory_text
from torbiz_tui.hardware import Hardware, as_containers_see, look
from torbiz_tui.paths import Paths
from torbiz_tui.threads import call_abandonable


def run(call: Call) -> int:
    """Print the catalogue, or all that is known of one model."""

    async def show(services: Services) -> int:
        paths = services.paths
        looking = asyncio.create_task(
            call_abandonable(partial(look, paths.cache), "look at the machine")
        )
        if call.options.name is None:
            models = await asyncio.to_thread(known_models, paths)
        else:
            models = [await _described(call.options.name, paths)]
        machine = await looking
        memory = await services.environment.hosting.machine_memory()
        place = _place(services, as_containers_see(machine, memory))
        fits = [(model, configured_fit(services.config, model, place)) for model in models]
        if call.options.json:
            listed = [_as_json(model, fit) for model, fit in fits]
            write_json({"models": listed, "machine": _machine_as_json(machine)})
            return ExitCode.OK
        for problem in machine.problems:
            tell(f"{PROGRAM}: {problem}")
        if call.options.name is None:
            _write_catalogue(fits)
            tell(_kept_back(place, services.config.share.reserve_percent))
        else:
            _write_model(*fits[0], machine)
        return ExitCode.OK

    return call.run(show, create=False)


async def _described(name: str, paths: Paths) -> ModelInfo:
    """The facts of a model; those of the catalogue where the hub cannot be asked."""
    try:
        return await resolve_model(name, paths, channel=MAIN)
    except TorbizError as error:
        known = next((one for one in published_models() if one.name == name), None)
        if error.code != "hub_unreachable" or known is None:
            raise
        tell(f"{PROGRAM}: {error.what} These are the facts of the catalogue.")
        return known


def _place(services: Services, machine: Hardware) -> Place:
    """Where blocks would be; a device that is not there is said, and nothing known to fit on it."""
    config = services.config
    try:
        return configured_place(config, machine, services.environment.hosting.name)
    except TorbizError as error:
        tell(f"{PROGRAM}: {error.what} {error.why or ''}".rstrip())
        return Place(config.share.device, config.share.device, None)


def _write_catalogue(fits: list[tuple[ModelInfo, Fit | None]]) -> None:
    rows = [("MODEL", "SIZE", "FITS", "KIND", "NEEDS")]
    rows += [
        (
            model.name,
            _count(model.parameters),
            fit.short() if fit is not None else f"? of {model.num_blocks}",
            model.kind or model.model_type,
            ", ".join(model.demands),
        )
        for model, fit in fits
    ]
    write_table(rows)


def _kept_back(place: Place, reserve_percent: int) -> str:
    if place.free is None:
        return f"FITS: it is not known how much memory is free on {place.title}."
    return (
        f"FITS: blocks in {memory_text(place.free)} free on {place.title},"
        f" {reserve_percent}% kept back (share.reserve_percent)."
    )


def _write_model(model: ModelInfo, fit: Fit | None, machine: Hardware) -> None:
    def line(name: str, text: str) -> None:
        write_line(f"{name:<12}{text}")

    line("model", model.name)
    built = model.architecture
    facts = [
        model.model_type,
        f"{model.num_blocks} blocks",
        f"{_count(model.parameters)} parameters",
    ]
    line("type", ", ".join([*facts, model.torch_dtype, *([model.kind] if model.kind else [])]))
    if model.licence:
        line("licence", model.licence + (", to be accepted at the hub" if model.gated else ""))
    if model.channel == MAIN:
        line("needs", "the main branch of Petals")
    if built is not None:
        sizes = ", ".join(
            f"{name} {memory_text(size)}" for name, size in block_bytes(built).items()
        )
        line("a block", sizes)
    if fit is not None:
        needs = fit.needs
        line(
            "here",
            f"{needs.dtype}, quantization {needs.quantization}: "
            f"{memory_text(needs.weights_per_block)} of weights and "
            f"{memory_text(needs.cache_per_block)} of attention cache a block",
        )
        line("fits", fit.sentence())
        free = f"; {disk_size(machine.disk_free)} are free" if machine.disk_free is not None else ""
        if not model.demo and model.source == model.name:
            line("download", f"at least {disk_size(fit.download_per_block)} a block{free}")


def _as_json(model: ModelInfo, fit: Fit | None) -> dict[str, object]:
    facts = asdict(model)
    if model.architecture is not None:
        facts["block_bytes"] = block_bytes(model.architecture)
    else:
        facts["block_bytes"] = None
    facts["fit"] = None if fit is None else _fit_as_json(fit)
    return facts


def _fit_as_json(fit: Fit) -> dict[str, object]:
    return {
        "verdict": fit.verdict,
        "blocks": fit.blocks,
        "device": fit.place.device,
        "device_name": fit.place.title,
        "torch_dtype": fit.needs.dtype,
        "quantization": fit.needs.quantization,
        "free_bytes": fit.place.free,
        "reserve_percent": fit.reserve_percent,
        "fixed_bytes": fit.needs.fixed,
        "weights_bytes_per_block": fit.needs.weights_per_block,
        "cache_bytes_per_block": fit.needs.cache_per_block,
        "download_bytes_per_block": fit.download_per_block,
        "sentence": fit.sentence(),
    }


def _machine_as_json(machine: Hardware) -> dict[str, object]:
    return {
        "cores": machine.cores,
        "memory_bytes": machine.memory,
        "memory_available_bytes": machine.memory_available,
        "memory_limited": machine.memory_limited,
        "disk_free_bytes": machine.disk_free,
        "gpus": [
            {
                "vendor": gpu.vendor,
                "name": gpu.name,
                "index": gpu.index,
                "memory_bytes": gpu.memory,
                "memory_free_bytes": gpu.memory_free,
                "unified": gpu.unified,
            }
            for gpu in machine.gpus
        ],
        "problems": list(machine.problems),
    }


def _count(parameters: int | None) -> str:
    if parameters is None:
        return "?"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
