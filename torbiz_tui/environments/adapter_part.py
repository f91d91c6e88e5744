"""The part of the stack that only LoRA adapters need, installed where they are asked for."""

from __future__ import annotations

import os

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
    try:
        async with work_lock(paths.run / "setup.lock", "installing", report):
            await run_uv(
                ["pip", "install", "--no-deps", *into, _PEFT],
                sources.environ,
                report,
                timeout_s=config.install_timeout_s,
            )
    except TorbizError as error:
        raise TorbizError(
            f"What adapters need ({_PEFT}) could not be installed.",
            why=error.why or error.what,
            remedy=error.remedy or "Share without adapters, or try again when PyPI is reached.",
            code="adapters_not_installed",
            details=error.details,
        ) from error
