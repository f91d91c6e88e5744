"""Where a model comes from: a local folder or the hub, its configuration and its DHT prefix."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from pathlib import Path
from typing import Any

from hub_errors import DownloadError, ModelError, more_than_data, refusal

__all__ = [
    "DownloadError",
    "ModelError",
    "block_prefix",
    "derive_dht_prefix",
    "explain_model_error",
    "hub_dht_prefix",
    "hub_token",
    "load_config",
    "model_type_of",
    "pinned_revision",
    "resolve_model",
]

_RELEASE_TYPES = ("bloom", "falcon", "llama")
# What Petals' own configurations name `block_prefix`; it is what parameters of blocks begin with.
_BLOCK_PREFIXES = {
    "bloom": "h",
    "falcon": "transformer.h",
    "llama": "model.layers",
    "mixtral": "model.layers",
}
# Petals' own (petals/models/falcon/model.py): later ones are not in the format that it loads.
_PINNED_REVISIONS = {
    "tiiuae/falcon-40b": "f1ba7d328c06aa6fbb4a8afd3c756f46d7e6b232",
    "tiiuae/falcon-40b-instruct": "7475ff8cfc36ed9a962b658ae3c33391566a85a5",
    "tiiuae/falcon-7b": "4e2d06f0a7c6370ebabbc30c6f59377ae8f73d76",
    "tiiuae/falcon-7b-instruct": "f8dac3fff96d5debd43edf56fb4e1abcfffbef28",
}


def supported_types() -> tuple[str, ...]:
    """Return the model types that the installed Petals serves: from 2.3 (its main branch) mixtral."""
    try:
        version = importlib.metadata.version("petals")
    except importlib.metadata.PackageNotFoundError:
        return _RELEASE_TYPES
    numbers = re.match(r"(\d+)\.(\d+)", version)
    is_main = numbers is not None and (int(numbers[1]), int(numbers[2])) >= (2, 3)
    return (*_RELEASE_TYPES, "mixtral") if is_main else _RELEASE_TYPES


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


def hub_dht_prefix(model: str, model_type: str) -> str:
    """Name the blocks of a hub model as the configurations of petals.models do."""
    if model_type == "bloom":
        return f"{model}-petals".replace(".", "-")
    name = model.split("/")[-1].replace(".", "-")
    return f"{name}-hf" if model_type == "llama" and not name.endswith("-hf") else name


def pinned_revision(model: str) -> str:
    """The commit of a hub model that Petals wants; empty for its newest."""
    return _PINNED_REVISIONS.get(model, "")


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


def block_prefix(model_type: str) -> str:
    """What the names of a block's parameters begin with, before its number."""
    return _BLOCK_PREFIXES[model_type]


def load_config(model: str, name: str = "", *, revision: str | None = None) -> Any:
    """Load the checkpoint's own configuration, or raise ModelError with a sentence.

    `name` is what people call the model, where that is not what it is loaded by; `revision` a
    branch, a tag or a commit of one of the hub.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(
            model, token=hub_token(), revision=revision or "main"
        )
    except Exception as error:
        raise explain_model_error(error, name or model) from error
    if config.model_type not in supported_types():
        raise _unsupported(config.model_type, name or model)
    return config


def model_type_of(folder: Path, model: str) -> str:
    """The type that the configuration in a folder tells. Raises ModelError, also for one that the
    installed Petals does not serve; `model` is what people call it.
    """
    try:
        model_type = json.loads((folder / "config.json").read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("model_not_found", f"The config.json of {model} is unusable.") from error
    if model_type not in supported_types():
        raise _unsupported(str(model_type)[:40], model)
    return str(model_type)


def _unsupported(model_type: str, model: str) -> ModelError:
    return ModelError(
        "unsupported_model",
        f"Petals does not support model type {model_type} (of {model});"
        f" it serves {', '.join(supported_types())}.",
    )


def refuses_to_run(error: BaseException) -> bool:
    """Whether pickled weights were not loaded since they hold more than data."""
    return any(type(link).__name__ == "UnpicklingError" for link in _chain(error))


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def explain_model_error(error: BaseException, model: str) -> ModelError:
    """Turn an error of transformers or the hub client into one sentence."""
    if isinstance(error, ModelError):
        return error
    chain = _chain(error)
    for link in chain:
        response = getattr(link, "response", None)
        if response is not None:
            sent = "authorization" in (name.lower() for name in response.request.headers)
            refused = refusal(model, response.status_code, response.headers, token_sent=sent)
            # That a file is missing is for who asked for it to say.
            if refused is not None and refused.code != "file_not_found":
                return refused
    names = {type(link).__name__ for link in chain}
    if refuses_to_run(error):
        return more_than_data(model)
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
        return _unsupported(unknown.group(1) or unknown.group(2), model)
    if names & {"ConnectionError", "LocalEntryNotFoundError", "ProxyError", "SSLError"} or (
        "couldn't connect to" in text or "We couldn't connect" in text
    ):
        return ModelError(
            "model_not_found",
            f"{model} is not in the local cache, and the Hugging Face hub cannot be reached.",
        )
    detail = " ".join(str(error).split())[:300]
    return ModelError("model_not_found", f"{model} cannot be loaded: {detail}")
