"""Starts the model that the chat runner's options ask for."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chat_errors import ChatError, explain_connect_error
from chat_runner import ChatModel
from hub_errors import DownloadError, more_than_data
from model_source import (
    ModelError,
    derive_dht_prefix,
    explain_model_error,
    hub_dht_prefix,
    load_config,
    model_type_of,
    refuses_to_run,
    resolve_model,
)
from weight_index import ASKING, FolderWeights

if TYPE_CHECKING:
    from chat_files import ChatFiles
    from chat_prompt import PromptFormat

Status = Callable[..., None]


@dataclass(frozen=True)
class _Source:
    """Where the model is loaded from; `files` is what downloads the rest of a hub model."""

    name: str
    folder: Path
    dht_prefix: str
    files: ChatFiles | None = None

    def weights_to_come(self) -> Mapping[str, int]:
        """The files with weights that have yet to be downloaded, with their bytes."""
        return self.files.weights_to_come() if self.files is not None else {}

    def fetch_weights(self) -> Path:
        """The folder with all weights. Raises DownloadError."""
        return self.files.fetch_weights() if self.files is not None else self.folder


def start_model(options: argparse.Namespace, status: Status) -> ChatModel:
    """Get the model's files, import the stack, and join the swarm or load the weights.

    What the hub refuses is told before anything is imported. Raises ChatError.
    """
    try:
        source = _find(options, status)
        status("importing")
        _import_stack("local" if options.local else "client")
        status("tokenizer")
        config = load_config(str(source.folder), source.name)
        prompt_format = _load_prompt_format(source, options.model_name)
        if options.local:
            return _load_locally(options, source, config, prompt_format, status)
        status("connecting")
        return _join_swarm(options, source, config, prompt_format)
    except DownloadError as error:
        raise ChatError(error.code, error.what, why=error.why, remedy=error.remedy) from error
    except ModelError as error:
        raise ChatError(error.code, error.sentence) from error


def _find(options: argparse.Namespace, status: Status) -> _Source:
    """The model in its folder; of one of the hub, what is needed besides its blocks."""
    model = resolve_model(options.model_name)
    pickled = bool(options.allow_pickled)
    if Path(model).is_dir():
        FolderWeights(model, allow_pickled=pickled, advice=ASKING).check()
        return _Source(model, Path(model), derive_dht_prefix(model))
    try:
        from chat_files import ChatFiles

        files = ChatFiles(model, status, pickled=pickled, revision=options.revision)
    except ImportError as error:
        raise ChatError("internal", f"The hub's client cannot be imported: {error}") from error
    folder = files.fetch_description()
    model_type = model_type_of(folder, model)
    if options.local:
        # How much of it there is will be compared with the memory before it is downloaded.
        files.check_weights()
    else:
        folder = files.fetch_client_weights(model_type)
    return _Source(model, folder, hub_dht_prefix(model, model_type), files)


def _import_stack(role: Any) -> None:
    import petals_compat

    try:
        petals_compat.apply(role)
    except Exception as error:
        traceback.print_exc()
        what = "transformers" if role == "local" else "Petals"
        raise ChatError("internal", f"{what} cannot be imported: {error}") from error


def _load_prompt_format(source: _Source, given_name: str) -> PromptFormat:
    import transformers

    from chat_prompt import PromptFormat

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(source.folder))
    except Exception as error:
        raise explain_model_error(error, source.name) from error
    return PromptFormat(tokenizer, given_name)


def _load_locally(
    options: argparse.Namespace,
    source: _Source,
    config: Any,
    prompt_format: PromptFormat,
    status: Status,
) -> ChatModel:
    from local_model import LocalModel

    def fetch() -> str:
        folder = source.fetch_weights()
        status("loading")
        return str(folder)

    try:
        return LocalModel(
            str(source.folder),
            config,
            prompt_format,
            options.torch_dtype,
            options.max_session_tokens,
            to_come=source.weights_to_come(),
            pickled=options.allow_pickled,
            fetch=fetch,
        )
    except (ChatError, ModelError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise explain_model_error(error, source.name) from error


def _join_swarm(
    options: argparse.Namespace, source: _Source, config: Any, prompt_format: PromptFormat
) -> ChatModel:
    from chat_session import ChatSettings, SwarmModel

    peers = options.initial_peer or []
    settings = ChatSettings(
        model=str(source.folder),
        dht_prefix=options.dht_prefix or source.dht_prefix,
        initial_peers=peers,
        adapter=options.adapter or "",
        torch_dtype=options.torch_dtype,
        max_session_tokens=options.max_session_tokens,
        request_timeout=options.request_timeout,
        connect_timeout=options.connect_timeout,
        max_retries=options.max_retries,
    )
    try:
        return SwarmModel(settings, config, prompt_format)
    except Exception as error:
        if refuses_to_run(error):
            raise more_than_data(source.name) from error
        known = explain_connect_error(error, peers)
        if known.code == "internal":
            traceback.print_exc()
        raise known from error
