"""The files of a hub model that the chat runner loads, downloaded before it imports anything large.

What a client of Petals computes by itself are the embeddings and the output layer: all weights but
those of the blocks (petals/client/from_pretrained.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from download_progress import StageListener
from model_download import ModelDownload
from model_source import block_prefix, hub_token
from weight_index import ASKING

CONFIG = "config.json"
# Of a vocabulary's forms one is enough. They come last, so that they tell that all is there.
BESIDE = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
VOCABULARIES = (
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "tokenizer.json",
)
ENOUGH = VOCABULARIES[2:]


class ChatFiles:
    """The files of one model, in the cache that transformers has; `status` is told the stage.

    What is there needs no network. `pickled`: weights that can run code are taken where there are
    no others. `revision` as for `ModelDownload`.
    """

    def __init__(
        self,
        model: str,
        status: Callable[..., None],
        *,
        pickled: bool,
        revision: str | None = None,
    ) -> None:
        self._download = ModelDownload(
            model,
            cache_folder(),
            StageListener(status),
            token=hub_token(),
            allow_pickled=pickled,
            revision=revision,
            advice=ASKING,
        )

    def fetch_description(self) -> Path:
        """Download the configuration and the tokenizer; return the folder. Raises DownloadError."""
        download = self._download
        if not (download.has(CONFIG) and any(map(download.has, ENOUGH))):
            download.ensure_named(CONFIG, (*BESIDE, *VOCABULARIES))
        return download.folder

    def fetch_client_weights(self, model_type: str) -> Path:
        """Download what is computed here in a swarm. Otherwise as `fetch_description`."""
        self._download.ensure_beside(f"{block_prefix(model_type)}.")
        return self._download.folder

    def fetch_weights(self) -> Path:
        """Download all of the model. Otherwise as `fetch_description`."""
        self._download.ensure_weights()
        return self._download.folder

    def check_weights(self) -> None:
        """Raises DownloadError where there are no weights, or none that may be loaded."""
        self._download.check()

    def weights_to_come(self) -> Mapping[str, int]:
        """The files with weights that are not here, with their bytes. Raises DownloadError."""
        return self._download.weight_sizes()


def cache_folder() -> Path:
    """Where transformers keeps what it has from the hub."""
    if given := os.environ.get("TRANSFORMERS_CACHE"):
        return Path(given).expanduser()
    from huggingface_hub.constants import HUGGINGFACE_HUB_CACHE

    return Path(HUGGINGFACE_HUB_CACHE)
