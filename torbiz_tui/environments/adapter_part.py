"""The part of the stack that only LoRA adapters need, installed where they are asked for."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

from torbiz_tui.config import PetalsConfig
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.work_lock import work_lock
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter

# What petals 2.2.0 names; later ones have moved what it imports. Petals needs bitsandbytes
# besides only for quantized blocks.
_PEFT = "peft==0.5.0"
# So little is not waited for as long as for a whole stack: meanwhile nothing can be stopped.
_LONGEST_S = 120.0


def needs_adapters(spec: ServerSpec) -> bool:
    """Whether the server is to load adapters."""
    return any(text.startswith("adapters=") for text in spec.petals_options)


async def ensure_adapter_part(paths: Paths, config: PetalsConfig) -> None:
    """Install peft into the managed venv unless it is there; its wheel has less than 100 kB.

    Raises TorbizError (`adapters_not_installed`) when it cannot be had.
    """
    name, _, version = _PEFT.partition("==")
    if any(paths.env.glob(f"lib/python3.*/site-packages/{name}-{version}.dist-info")):
        return
    from torbiz_tui.environments.package_sources import package_sources
    from torbiz_tui.environments.uv_command import run_uv

    log = logger("setup")
    report = Reporter(progress=lambda *_: None, output=lambda line: log.info("%s", line))
    sources = package_sources(config, os.environ)
    into = ["--python", str(paths.env_python), *sources.arguments]
    longest = min(_LONGEST_S, config.install_timeout_s)
    try:
        async with AsyncExitStack() as held:
            async with asyncio.timeout(longest):
                lock = work_lock(paths.run / "setup.lock", "installing", report)
                await held.enter_async_context(lock)
            await run_uv(
                ["pip", "install", "--no-deps", *into, _PEFT],
                sources.environ,
                report,
                timeout_s=longest,
            )
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


def _not_installed(why: str, remedy: str = "", details: tuple[str, ...] = ()) -> TorbizError:
    return TorbizError(
        f"What adapters need ({_PEFT}) could not be installed.",
        why=why,
        remedy=remedy or "Share without adapters, or try again when PyPI is reached.",
        code="adapters_not_installed",
        details=details,
    )
