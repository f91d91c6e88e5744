"""Where a model comes from: a local folder or the hub, its configuration and its DHT prefix."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

SUPPORTED_TYPES = ("bloom", "falcon", "llama")


class ModelError(Exception):
    """The model cannot be used; the text says why, for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def resolve_model(name: str) -> str:
    """Return the absolute path for a local folder, or the hub id as it is.

    Raises ModelError when the name can only be a path and nothing usable is there.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError("model_not_found", f"The folder {path} has no config.json.")
        return str(path.resolve())
    if re.match(r"[~./]|[A-Za-z]:", name) or name.count("/") > 1:
        raise ModelError("model_not_found", f"The model folder {name} does not exist.")
    return name


def derive_dht_prefix(folder: str) -> str:
    """Name the blocks of a local folder as Petals would name those of a hub model so called."""
    name = re.sub(r"[^\w-]+", "-", Path(folder).resolve().name).strip("-") or "model"
    try:
        model_type = json.loads((Path(folder) / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return name
    if model_type == "bloom":
        return f"{name}-petals"
    if model_type == "llama" and not name.endswith("-hf"):
        return f"{name}-hf"
    return name


def hub_token() -> str | None:
    """Return the token from the environment or the file that it names.

    The pinned huggingface_hub knows neither HF_TOKEN nor HF_TOKEN_PATH, which later ones have; its
    own token file needs no mention.
    """
    if token := os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        return token
    try:
        return Path(os.environ["HF_TOKEN_PATH"]).read_text("utf-8").strip() or None
    except (KeyError, OSError, ValueError):
        return None


def load_config(model: str) -> Any:
    """Load the checkpoint's own configuration, or raise ModelError with a sentence."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(model, token=hub_token())
    except Exception as error:
        raise explain_model_error(error, model) from error
    if config.model_type not in SUPPORTED_TYPES:
        raise ModelError(
            "unsupported_model",
            f"Petals does not support model type {config.model_type} (of {model});"
            f" it serves {', '.join(SUPPORTED_TYPES)}.",
        )
    return config


def explain_model_error(error: BaseException, model: str) -> ModelError:
    """Turn an error of transformers or the hub client into one sentence."""
    if isinstance(error, ModelError):
        return error
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    names = {type(link).__name__ for link in chain}
    text = " ".join(str(link) for link in chain)
    if "GatedRepoError" in names or "gated repo" in text:
        return ModelError(
            "model_not_found",
            f"{model} is a gated model: accept its licence on its page and set HF_TOKEN.",
        )
    if "RepositoryNotFoundError" in names or "is not a valid model identifier" in text:
        return ModelError(
            "model_not_found",
            f"The hub has no model {model}, or it is private and HF_TOKEN does not open it.",
        )
    if unknown := re.search(r"model of type `(\w+)`|model type [`']?(\w+)[`']?", text):
        model_type = unknown.group(1) or unknown.group(2)
        return ModelError(
            "unsupported_model",
            f"Petals does not support model type {model_type} (of {model});"
            f" it serves {', '.join(SUPPORTED_TYPES)}.",
        )
    if names & {"ConnectionError", "LocalEntryNotFoundError", "ProxyError", "SSLError"} or (
        "couldn't connect to" in text or "We couldn't connect" in text
    ):
        return ModelError(
            "model_not_found",
            f"{model} is not in the local cache, and the Hugging Face hub cannot be reached.",
        )
    detail = " ".join(str(error).split())[:300]
    return ModelError("model_not_found", f"{model} cannot be loaded: {detail}")
