"""Splits a checkpoint into many small safetensors files; run with the Petals environment.

Usage: make_sharded_model.py SOURCE FOLDER PICKLED. PICKLED is a file with the same weights as
PyTorch keeps them. Only for the tests of downloads.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]
from transformers import LlamaForCausalLM  # type: ignore[import-not-found]

SHARD_SIZE = "400KB"


def main(source: Path, folder: Path, pickled: Path) -> None:
    """Write the same model in files of at most SHARD_SIZE, with their index."""
    model = LlamaForCausalLM.from_pretrained(source)
    model.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD_SIZE)
    torch.save(model.state_dict(), pickled)
    for file in source.iterdir():
        if file.suffix == ".json" and not (folder / file.name).exists():
            shutil.copy(file, folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
