"""How the chat runner is called."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from torbiz_tui import __version__
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config_sections import AskConfig
from torbiz_tui.environments.base import RunnerCommand
from torbiz_tui.errors import UsageError

SwarmPeers = tuple[str, ...] | None
"""The initial peers of a swarm; None is the public swarm."""


def runner_command(
    model: ModelInfo,
    peers: SwarmPeers,
    ask: AskConfig,
    *,
    local: bool,
    allow_pickled: bool = False,
    revision: str = "",
    adapter: str = "",
) -> tuple[RunnerCommand, str]:
    """What is to run, and the key by which programs that ask the same way share it.

    `allow_pickled` takes weights that can run code, where there are no others; `revision` is a
    branch, a tag or a commit of the hub, empty for main; `adapter` the LoRA adapter that the
    servers are to use, empty for none.
    """
    arguments = ["--model-name", model.source, "--max-session-tokens", str(ask.session_tokens)]
    if model.demo:
        arguments += ["--torch-dtype", "float32"]
    if revision and not Path(model.source).is_absolute():
        arguments += ["--revision", revision]
    if allow_pickled:
        arguments += ["--allow-pickled"]
    if local:
        arguments += ["--local"]
    else:
        if model.dht_prefix:
            arguments += ["--dht-prefix", model.dht_prefix]
        if adapter:
            arguments += ["--adapter", adapter]
        for peer in peers or ():
            arguments += ["--initial-peer", peer]
    # The runner of another version may speak another protocol.
    told = json.dumps([__version__, arguments]).encode()
    command = RunnerCommand(
        "run_petals_inference.py",
        (*arguments, "--linger", f"{ask.keep_warm_s:g}"),
        title=model.name,
    )
    return command, hashlib.sha256(told).hexdigest()[:12]


def no_model() -> UsageError:
    """The error for a question that nobody is named for."""
    return UsageError(
        "Which model should answer?",
        remedy="Name one with --model, or set `model` in the configuration.",
        code="no_model",
    )
