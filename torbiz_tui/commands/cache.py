"""`cache`: the models that were downloaded, and the removal of one."""

from __future__ import annotations

import time
from pathlib import Path

from torbiz_tui.assembly import Services
from torbiz_tui.commands.asking import answer, someone_answers
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import (
    PROGRAM,
    disk_size,
    tell,
    tell_error,
    write_json,
    write_line,
    write_table,
)
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.folder_sizes import off_loop
from torbiz_tui.hub_cache import CachedModel, cache_places, cached_models, remove_cached
from torbiz_tui.paths import shown
from torbiz_tui.pickled_weights import AllowedPickles


def run(call: Call) -> int:
    """List what is there, or remove a model; code 1 when some of it stays."""
    options = call.options
    if options.action == "clean" and not options.name:
        raise UsageError(
            "Which model should be removed from the cache?",
            remedy=f"Name one that `{PROGRAM} cache` lists.",
            code="no_model",
        )
    if options.action == "list" and options.name:
        raise UsageError(
            "`cache list` lists all models and takes no name.",
            remedy=f"To remove one: {PROGRAM} cache clean {options.name}",
        )

    async def cache(services: Services) -> int:
        places = cache_places(services.paths, services.config)
        models = await off_loop(lambda stop: cached_models(places, stop), "look at the cache")
        if options.action == "clean":
            return await _clean(call, services, models)
        if options.json:
            write_json({"models": [_as_json(model) for model in models]})
        else:
            _write(models)
        return ExitCode.OK

    return call.run(cache, create=False)


def _write(models: list[CachedModel]) -> None:
    if not models:
        write_line("No models are cached.")
        return
    rows = [("MODEL", "SIZE", "REVISIONS", "LAST USED", "WHERE")]
    rows += [
        (
            model.name,
            disk_size(model.bytes) + (" (partial)" if model.partial_bytes else ""),
            str(len(model.revisions)),
            time.strftime("%Y-%m-%d", time.localtime(model.last_used)) if model.last_used else "",
            f"{model.place.title}, {shown(model.place.folder)}",
        )
        for model in models
    ]
    write_table(rows)
    write_line(f"All together: {disk_size(sum(model.bytes for model in models))}")


async def _clean(call: Call, services: Services, models: list[CachedModel]) -> int:
    name: str = call.options.name
    found = [model for model in models if model.name.lower() == name.lower()]
    chosen = [model for model in found if model.place.ours or call.options.shared]
    if not chosen and not found and _forget_agreement(services, name):
        return ExitCode.OK
    if not chosen:
        raise _nothing(name, shared=bool(found))
    state = await services.sharing.attach()
    if state.active and state.spec is not None and state.spec.source.lower() == name.lower():
        raise TorbizError(
            f"{chosen[0].name} is being shared, so it stays.",
            remedy=f"Stop sharing first: {PROGRAM} stop",
            code="in_use",
        )
    for model in chosen:
        where = f"{model.place.title}, {shown(model.place.folder)}"
        tell(f"{model.name}: {disk_size(model.bytes)}; {where}")
    if not call.options.yes:
        if not someone_answers():
            raise UsageError(
                "Something would be removed, and nobody is there to ask.",
                remedy="Pass --yes to agree.",
                code="not_agreed",
            )
        if await answer("Remove it? [y/N] ") not in ("y", "yes"):
            tell("Nothing was changed.")
            return ExitCode.OK
    _forget_agreement(services, name)
    freed, failed = await _remove(chosen)
    if call.options.json:
        write_json({"model": chosen[0].name, "freed_bytes": freed})
    else:
        write_line(f"Freed {disk_size(freed)}.")
    return ExitCode.FAILED if failed else ExitCode.OK


def _forget_agreement(services: Services, name: str) -> bool:
    """Ask again before pickled weights of this model, or folder, are loaded; whether it was agreed."""
    folder = Path(name).expanduser()
    model = str(folder.resolve()) if folder.is_dir() else name
    if not AllowedPickles(services.paths).forget(model):
        return False
    tell(f"Before pickled weights of {name} are loaded again, you will be asked.")
    return True


async def _remove(chosen: list[CachedModel]) -> tuple[int, bool]:
    freed, failed = 0, False
    for model in chosen:
        try:
            removal = await off_loop(
                lambda stop, model=model: remove_cached(model, stop),  # type: ignore[misc]
                "remove a model",
            )
        except TorbizError as error:
            tell_error(error)
            failed = True
            continue
        freed += removal.bytes
        if removal.errors:
            failed = True
            first = removal.errors[0]
            tell(f"Some of it could not be removed: {first.filename}: {first.strerror}.")
    return freed, failed


def _nothing(name: str, *, shared: bool) -> UsageError:
    if shared:
        return UsageError(
            f"{name} is only in the Hugging Face cache, which other programs share.",
            remedy="Give --shared too to remove it there.",
            code="only_shared",
        )
    return UsageError(
        f"No model {name} is cached.",
        remedy=f"`{PROGRAM} cache` lists those that are.",
        code="model_not_found",
    )


def _as_json(model: CachedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "place": model.place.id,
        "folder": str(model.folder),
        "bytes": model.bytes,
        "partial_bytes": model.partial_bytes,
        "revisions": list(model.revisions),
        "last_used": model.last_used,
    }
