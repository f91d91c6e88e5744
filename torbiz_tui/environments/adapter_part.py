"""The part of the stack that only LoRA adapters need, installed where they are asked for."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

from torbiz_tui.config import PetalsConfig
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.work_lock import work_lock
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import SILENT, Reporter

# What petals 2.2.0 names; later ones have moved what it imports. Petals needs bitsandbytes
# besides only for quantized blocks.
_PEFT = "peft==0.5.0"
# So little is not waited for as long as for a whole stack.
_LONGEST_S = 120.0


def needs_adapters(spec: ServerSpec) -> bool:
    """Whether the server is to load adapters."""
    return any(text.startswith("adapters=") for text in spec.petals_options)


async def ensure_adapter_part(
    paths: Paths, config: PetalsConfig, report: Reporter = SILENT
) -> None:
    """Install peft into the managed venv unless it is there; its wheel has less than 100 kB.

    Cancelling ends it at once. Nothing of it is left then; what a kill leaves is mended by the next
    call. Raises TorbizError (`adapters_not_installed`) when it cannot be had.
    """
    if await asyncio.to_thread(_is_whole, paths.env):
        return
    from torbiz_tui.environments.package_sources import package_sources
    from torbiz_tui.environments.uv_command import run_uv

    report.progress(None, "")
    sources = package_sources(config, os.environ)
    into = ["--python", str(paths.env_python), *sources.arguments]
    longest = min(_LONGEST_S, config.install_timeout_s)
    try:
        async with AsyncExitStack() as held:
            async with asyncio.timeout(longest):
                lock = work_lock(paths.run / "setup.lock", "installing", report)
                await held.enter_async_context(lock)
            # Another program may have, and a server of it may be using it already.
            if _is_whole(paths.env):
                return
            _remove_what_is_there(paths.env)
            try:
                await run_uv(
                    ["pip", "install", "--no-deps", *into, _PEFT],
                    sources.environ,
                    report,
                    timeout_s=longest,
                )
            except BaseException:
                _remove_what_is_there(paths.env)
                raise
    except TorbizError as error:
        raise _not_installed(error.why or error.what, error.remedy, error.details) from error
    except TimeoutError as error:
        raise _not_installed(
            f"Another torbiz-tui has been installing for more than {longest:.0f} s.",
            "Try again when it has finished.",
        ) from error
    except OSError as error:
        raise _not_installed(
            f"{error.filename or paths.run}: {error.strerror or error}."
        ) from error


def _is_whole(env: Path) -> bool:
    """Whether all files are there that its list names, with their sizes.

    The folder of that list alone does not tell: an installation that was killed leaves it too.
    """
    name, _, version = _PEFT.partition("==")
    for about in env.glob(f"lib/python3.*/site-packages/{name}-{version}.dist-info"):
        record = about / "RECORD"
        try:
            rows = list(csv.reader(record.read_text("utf-8").splitlines()))
            sizes = {about.parent / row[0]: int(row[2]) for row in rows if row[2]}
            sizes.pop(record, None)
            return bool(sizes) and all(file.stat().st_size == size for file, size in sizes.items())
        except (OSError, ValueError, IndexError):
            return False
    return False


def _remove_what_is_there(env: Path) -> None:
    """What an installation has left that did not come to its end; uv could not mend all of it."""
    name, _, _ = _PEFT.partition("==")
    for entry in (name, f"{name}-*.dist-info"):
        for folder in env.glob(f"lib/python3.*/site-packages/{entry}"):
            shutil.rmtree(folder, ignore_errors=True)


def _not_installed(why: str, remedy: str = "", details: tuple[str, ...] = ()) -> TorbizError:
    return TorbizError(
        f"What adapters need ({_PEFT}) could not be installed.",
        why=why,
        remedy=remedy or "Share without adapters, or try again when PyPI is reached.",
        code="adapters_not_installed",
        details=details,
    )
