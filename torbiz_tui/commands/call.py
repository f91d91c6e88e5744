"""One call of a command: its options, the folders, the configuration, the services."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.commands.output import PROGRAM, tell
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import Paths, default_home

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.config import LoadedConfig


@dataclass
class Call:
    """What was asked for; the configuration is read when it is first needed."""

    options: argparse.Namespace

    @cached_property
    def paths(self) -> Paths:
        """The folders of this call. Raises UsageError when the home's name means nothing."""
        given = getattr(self.options, "home", None)
        return Paths(default_home() if given is None else _path("--home", given))

    @cached_property
    def config_file(self) -> Path:
        """The configuration file of this call, whether it exists or not."""
        given = getattr(self.options, "config", None)
        return self.paths.config_file if given is None else _path("--config", given)

    @cached_property
    def loaded(self) -> LoadedConfig:
        """The configuration; slips that are no mistakes are told. Raises ConfigError."""
        from torbiz_tui.config import SETTINGS, load_config

        revision = ""
        overrides = {key: value for key, value in vars(self.options).items() if key in SETTINGS}
        if {"join", "swarm_name", "swarm.initial_peers"} & vars(self.options).keys():
            from torbiz_tui.commands.joining import at_revision, joined

            swarm = joined(self.options, overrides, self.paths)
            overrides, revision = swarm.settings, swarm.revision
        loaded = load_config(
            self.config_file,
            overrides,
            os.environ,
            must_exist=getattr(self.options, "config", None) is not None,
        )
        for warning in loaded.warnings:
            tell(f"{PROGRAM}: {warning}")
        return replace(loaded, config=at_revision(loaded.config, revision)) if revision else loaded

    def start_log(self, *, create: bool) -> None:
        """Log to the home folder; without `create` only where there is one.

        Raises TorbizError when the home cannot be created or written.
        """
        import logging

        from torbiz_tui.logs.writing import start_logging

        level = logging.getLevelName(self.loaded.config.logs.level.upper())
        if create:
            self.paths.ensure()
        if self.paths.logs.is_dir():
            start_logging(self.paths, level)

    def run(self, body: Callable[[Services], Awaitable[int]], *, create: bool = True) -> int:
        """Run `body` on the services and close them, whatever happens.

        `create` makes the folders of the home. Raises KeyboardInterrupt after a Ctrl-C, when all
        is closed; a SIGTERM or SIGHUP ends it likewise, as SystemExit.
        """
        self.start_log(create=create)
        from torbiz_tui.commands.running import run_closing

        return run_closing(self.loaded.config, self.paths, body)


def _path(option: str, given: str) -> Path:
    try:
        if not given:
            raise RuntimeError("It is empty")
        return Path(given).expanduser().absolute()
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"{option} {given!r} is no path.", why=f"{error}.", code="bad_path"
        ) from error
