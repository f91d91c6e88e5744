"""`clean`: frees what is ours and says how much; without options it only shows the parts."""

from __future__ import annotations

from torbiz_tui.assembly import Services
from torbiz_tui.commands.asking import answer, someone_answers
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import (
    disk_size,
    tell,
    tell_error,
    write_json,
    write_line,
    write_table,
)
from torbiz_tui.disk_use import DiskUse, Freed, Part
from torbiz_tui.errors import ExitCode, UsageError

_OPTIONS = ("image", "env", "models", "logs")


def run(call: Call) -> int:
    """Show, ask, free; code 1 when something that was asked for stays."""
    options = call.options
    wanted = [name for name in _OPTIONS if getattr(options, name)]
    if options.yes and not wanted:
        raise UsageError(
            "--yes agrees to something, and nothing was named.",
            remedy="Name what to free: --image, --env, --models, --logs.",
            code="nothing_named",
        )

    async def clean(services: Services) -> int:
        use = await services.storage.measure()
        if not wanted and (options.json or options.dry_run or not someone_answers()):
            _show(use, options.json, dry_run=True)
            return ExitCode.OK
        chosen = [part for part in use.parts if part.option in wanted]
        if not options.json:
            _tell_sizes(chosen) if wanted else _write_use(use)
        if not wanted:
            chosen = await _choose(use)
        elif not options.dry_run and not await _agreed(chosen, yes=options.yes):
            tell("Nothing was changed.")
            return ExitCode.OK
        if options.dry_run:
            _show(use, options.json, dry_run=True, chosen=chosen)
            return ExitCode.OK
        freed = await services.storage.clean([part.id for part in chosen], tell)
        for problem in freed.problems:
            tell_error(problem.error)
        if options.json:
            write_json(_as_json(await services.storage.measure(), freed, dry_run=False))
        else:
            write_line(f"Freed {disk_size(freed.bytes)}.")
        return ExitCode.FAILED if freed.problems else ExitCode.OK

    return call.run(clean, create=False)


async def _agreed(chosen: list[Part], *, yes: bool) -> bool:
    """Ask once, unless there is nothing to free. Raises UsageError when nobody can answer."""
    if yes or not any(part.freeable_bytes or part.bytes is None for part in chosen):
        return True
    if not someone_answers():
        raise UsageError(
            "Something would be removed, and nobody is there to ask.",
            remedy="Pass --yes to agree, or --dry-run to look only.",
            code="not_agreed",
        )
    return await answer(f"Free {disk_size(_freeable(chosen))}? [y/N] ") in ("y", "yes")


async def _choose(use: DiskUse) -> list[Part]:
    """Ask for each part that something can be freed of."""
    chosen = []
    for part in use.parts:
        if part.option and part.freeable_bytes:
            question = f"{part.title}: free {disk_size(part.freeable_bytes)}? [y/N] "
            if await answer(question) in ("y", "yes"):
                chosen.append(part)
    return chosen


def _freeable(parts: list[Part]) -> int:
    return sum(part.freeable_bytes for part in parts)


def _tell_sizes(chosen: list[Part]) -> None:
    for part in chosen:
        size = "unknown" if part.bytes is None else disk_size(part.bytes)
        note = f" ({part.note})" if part.note else ""
        tell(f"{part.title}: {size}, frees {disk_size(part.freeable_bytes)}; {part.where}{note}")


def _show(use: DiskUse, as_json: bool, *, dry_run: bool, chosen: list[Part] | None = None) -> None:
    if as_json:
        write_json(_as_json(use, None, dry_run=dry_run, chosen=chosen))
    elif chosen is not None:
        write_line(f"Would free {disk_size(_freeable(chosen))}.")
    else:
        _write_use(use)


def _write_use(use: DiskUse) -> None:
    rows = [("PART", "SIZE", "FREES", "WITH", "WHERE")]
    rows += [
        (
            part.title,
            "unknown" if part.bytes is None else disk_size(part.bytes),
            disk_size(part.freeable_bytes) if part.option else "",
            f"--{part.option}" if part.option else "",
            part.where,
        )
        for part in use.parts
    ]
    write_table(rows)
    for part in use.parts:
        if part.note:
            write_line(f"{part.title}: {part.note}")
    write_line(f"Free on this disk: {disk_size(use.free_bytes)}")


def _as_json(
    use: DiskUse, freed: Freed | None, *, dry_run: bool, chosen: list[Part] | None = None
) -> dict[str, object]:
    problems = freed.problems if freed is not None else ()
    return {
        "parts": [
            {
                "id": part.id,
                "title": part.title,
                "where": part.where,
                "bytes": part.bytes,
                "freeable_bytes": part.freeable_bytes,
                "option": f"--{part.option}" if part.option else None,
                "note": part.note,
            }
            for part in use.parts
        ],
        "disk_free_bytes": use.free_bytes,
        "dry_run": dry_run,
        "would_free_bytes": _freeable(chosen) if chosen is not None else None,
        "freed_bytes": dict(freed.bytes_by_part) if freed is not None else {},
        "problems": [
            {"part": problem.part_id, "code": problem.error.code, "message": str(problem.error)}
            for problem in problems
        ],
    }
