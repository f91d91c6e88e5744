"""Starts the model that the chat runner's options ask for."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from pathlib import Path

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


def start_model(options: argparse.Namespace, status: Callable[[str], None]) -> ChatModel:
    """Import the stack, load the tokenizer and join the swarm; raises ChatError."""
    try:
        model = resolve_model(options.model_name)
        status("importing")
        import petals_compat

        try:
            petals_compat.apply("client")
            from chat_prompt import PromptFormat
            from chat_session import ChatSettings, SwarmModel
        except Exception as error:
            traceback.print_exc()
            raise ChatError("internal", f"Petals cannot be imported: {error}") from error
        import transformers

        status("tokenizer")
        config = load_config(model)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(model, token=hub_token())
        except Exception as error:
            raise explain_model_error(error, model) from error
    except ModelError as error:
        raise ChatError(error.code, str(error)) from error

    status("connecting")
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
    prompt_format = PromptFormat(tokenizer, options.model_name)
    try:
        return SwarmModel(settings, config, prompt_format)
    except Exception as error:
        known = explain_connect_error(error, peers)
        if known.code == "internal":
            traceback.print_exc()
        raise known from error
