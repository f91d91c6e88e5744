"""Starts the model that the chat runner's options ask for."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chat_errors import ChatError, explain_connect_error
from chat_runner import ChatModel
from model_source import (
    ModelError,
    derive_dht_prefix,
    explain_model_error,
    hub_token,
    load_config,
    resolve_model,
)

if TYPE_CHECKING:
    from chat_prompt import PromptFormat


def start_model(options: argparse.Namespace, status: Callable[[str], None]) -> ChatModel:
    """Import the stack, load the tokenizer, and join the swarm or load the weights.

    Raises ChatError.
    """
    try:
        model = resolve_model(options.model_name)
        status("importing")
        _import_stack("local" if options.local else "client")
        status("tokenizer")
        config = load_config(model)
        prompt_format = _load_prompt_format(model, options.model_name)
    except ModelError as error:
        raise ChatError(error.code, error.sentence) from error
    if options.local:
        status("loading")
        return _load_locally(options, model, config, prompt_format)
    status("connecting")
    return _join_swarm(options, model, config, prompt_format)


def _import_stack(role: Any) -> None:
    import petals_compat

    try:
        petals_compat.apply(role)
    except Exception as error:
        traceback.print_exc()
        what = "transformers" if role == "local" else "Petals"
        raise ChatError("internal", f"{what} cannot be imported: {error}") from error


def _load_prompt_format(model: str, name: str) -> PromptFormat:
    import transformers

    from chat_prompt import PromptFormat

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, token=hub_token())
    except Exception as error:
        raise explain_model_error(error, model) from error
    return PromptFormat(tokenizer, name)


def _load_locally(
    options: argparse.Namespace, model: str, config: Any, prompt_format: PromptFormat
) -> ChatModel:
    from local_model import LocalModel

    try:
        return LocalModel(
            model, config, prompt_format, options.torch_dtype, options.max_session_tokens
        )
    except ChatError:
        raise
    except Exception as error:
        traceback.print_exc()
        known = explain_model_error(error, model)
        raise ChatError(known.code, known.sentence) from error


def _join_swarm(
    options: argparse.Namespace, model: str, config: Any, prompt_format: PromptFormat
) -> ChatModel:
    from chat_session import ChatSettings, SwarmModel

    prefix = options.dht_prefix
    if prefix is None and Path(model).is_dir():
        prefix = derive_dht_prefix(model)
    peers = options.initial_peer or []
    settings = ChatSettings(
        model=model,
        dht_prefix=prefix,
        initial_peers=peers,
        torch_dtype=options.torch_dtype,
        max_session_tokens=options.max_session_tokens,
        request_timeout=options.request_timeout,
        connect_timeout=options.connect_timeout,
        max_retries=options.max_retries,
    )
    try:
        return SwarmModel(settings, config, prompt_format)
    except Exception as error:
        known = explain_connect_error(error, peers)
        if known.code == "internal":
            traceback.print_exc()
        raise known from error
