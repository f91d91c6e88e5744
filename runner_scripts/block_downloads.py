"""Puts our download in place of the one that Petals does by itself, in this process.

Written for petals 2.2.0 (server/from_pretrained.py, server/server.py).
"""

from __future__ import annotations

import importlib
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from hub_errors import more_than_data


class HasBlocks(Protocol):
    """Where blocks are, or are brought to."""

    def ensure(self, prefixes: Sequence[str]) -> list[Path]:
        """The files that hold parameters of these beginnings. Raises DownloadError."""


def load_through(download: HasBlocks, model: str) -> None:
    """Make Petals load blocks from what `download` has, instead of asking the hub by itself.

    Petals would try anew for ever, also what is in a folder.
    """
    from_pretrained: Any = importlib.import_module("petals.server.from_pretrained")
    cache = importlib.import_module("petals.utils.disk_cache")
    lock = threading.Lock()

    def load(_model: str, block_prefix: str, *, cache_dir: str, **_: Any) -> dict[str, Any]:
        with lock:
            files = download.ensure([block_prefix])
        loaded: dict[str, Any] = {}
        with cache.allow_cache_reads(cache_dir):
            for file in files:
                try:
                    part = from_pretrained._load_state_dict_from_local_file(
                        str(file), block_prefix=block_prefix
                    )
                except pickle.UnpicklingError as error:
                    raise more_than_data(model) from error
                loaded |= {
                    name[len(block_prefix) :]: value
                    for name, value in part.items()
                    if name.startswith(block_prefix)
                }
        return loaded

    from_pretrained._load_state_dict_from_repo = load


def download_before_loading(download: HasBlocks, block_prefix: str) -> None:
    """Download the blocks that Petals has chosen, before it announces them."""
    container = importlib.import_module("petals.server.server").ModuleContainer
    create = container.create

    def create_downloaded(*, block_indices: Sequence[int], **options: Any) -> Any:
        download.ensure([f"{block_prefix}.{index}." for index in block_indices])
        return create(block_indices=block_indices, **options)

    container.create = create_downloaded
