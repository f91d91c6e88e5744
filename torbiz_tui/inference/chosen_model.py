"""Which model is asked, whether here or in a swarm, and which revision and adapter of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.catalogue import ModelInfo, resolve_model
from torbiz_tui.config import Config
from torbiz_tui.errors import UsageError
from torbiz_tui.inference.runner_command import no_model
from torbiz_tui.paths import Paths
from torbiz_tui.pickled_weights import AllowedPickles
from torbiz_tui.private_swarms.naming import called_in_swarm

ServedRevision = Callable[[str], Awaitable[str]]
"""Answers with the revision that this machine serves of a model; empty for main, or for none."""


async def nothing_served(_model: str) -> str:
    """The answer of a machine that serves no model."""
    return ""


@dataclass(frozen=True)
class AskedModel:
    """What one question is for.

    `revision` is a branch, a tag or a commit of the hub, empty for main. `local`: it is loaded on
    this machine. `allow_pickled`: also where its weights can run code. `adapter` is the LoRA
    adapter that the servers are to use, empty for none.
    """

    info: ModelInfo
    revision: str
    local: bool
    allow_pickled: bool
    adapter: str


class ChosenModel:
    """The choice that holds for the next question; `name` is empty when no model is configured."""

    def __init__(
        self, paths: Paths, config: Config, served_revision: ServedRevision = nothing_served
    ) -> None:
        self._paths = paths
        self._config = config
        self._served_revision = served_revision
        self.name = config.model
        self.local = config.ask.local
        self.adapter = config.ask.adapter
        self._given_revision = ""
        self._agreed: set[str] = set()
        self._resolved: dict[tuple[str, str], ModelInfo] = {}
        self._blocks: dict[str, int] = {}

    @property
    def num_blocks(self) -> int:
        """How many blocks the model has; 0 while that is not known."""
        return self._blocks.get(self.name, 0)

    def choose(
        self,
        name: str,
        *,
        local: bool | None = None,
        revision: str = "",
        adapter: str | None = None,
    ) -> None:
        """Ask another model, or elsewhere; None leaves where.

        `revision` and `adapter` were named for this model, and go before what is configured and
        what is served; no adapter (None) takes that which is configured for this model.
        """
        self.name = name
        configured = self._config.ask.adapter if name == self._config.model else ""
        self.adapter = configured if adapter is None else adapter
        self._given_revision = revision
        if local is not None:
            self.local = local

    async def asked(self) -> AskedModel:
        """The facts of the choice as it is now.

        Raises UsageError when there is no such model or revision of it, or an adapter and no
        servers to use it, TorbizError when the hub cannot be asked.
        """
        name, local, given, adapter = self.name, self.local, self._given_revision, self.adapter
        if not name:
            raise no_model()
        if local and adapter:
            raise UsageError(
                f"The adapter {adapter} cannot be had with a model in this machine's memory.",
                why="Servers of a swarm host adapters.",
                remedy="Ask a swarm, or leave the adapter out (--adapter, ask.adapter).",
                code="adapter_of_local_model",
            )
        revision = given or await self._revision(name)
        info = await self._facts(name, revision)
        if given and Path(info.source).is_absolute():
            raise UsageError(
                f"{info.name} is a folder on this machine, which has no revision {given}.",
                remedy="Leave --revision out.",
                code="revision_of_folder",
            )
        self._blocks[name] = info.num_blocks
        allowed = AllowedPickles(self._paths)
        if name in self._agreed:
            try:
                await asyncio.to_thread(allowed.allow, info.source)
            finally:
                # Not before: another question may come here meanwhile.
                self._agreed.discard(name)
        pickled = await asyncio.to_thread(allowed.allows, info.source)
        called = called_in_swarm(info, name, self._config)
        return AskedModel(called, revision, local, pickled, adapter)

    async def allow_pickled(self) -> None:
        """Load this model also where its weights can run code; remembered for it alone.

        Raises TorbizError when that cannot be kept, and as `asked` does; where the hub cannot be
        asked, it is kept with the next question.
        """
        self._agreed.add(self.name)
        await self.asked()

    async def _revision(self, name: str) -> str:
        """What nobody has named: the configured one for its model, else what is served here."""
        configured = self._config.ask.revision if name == self._config.model else ""
        return configured or await self._served_revision(name)

    async def _facts(self, name: str, revision: str) -> ModelInfo:
        info = self._resolved.get((name, revision))
        if info is None:
            # Once for each: a hub that does not answer must not delay the next question.
            channel = self._config.petals.channel
            info = await resolve_model(name, self._paths, channel=channel, revision=revision)
            self._resolved[name, revision] = info
        return info
