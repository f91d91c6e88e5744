"""What a swarm calls the blocks of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.config import Config


def called_in_swarm(model: ModelInfo, name: str, config: Config) -> ModelInfo:
    """The model with the swarm's own DHT prefix, where the configuration gives one for this name.

    A copy in a folder of another name then serves the same blocks as the one that it was made of.
    """
    prefix = config.swarm.dht_prefix
    if not prefix or name != config.model:
        return model
    return replace(model, dht_prefix=prefix)
