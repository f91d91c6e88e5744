"""Hosts blocks of a model in a Petals swarm, until SIGTERM, SIGINT or SIGHUP.

Log lines go to stderr in hivemind's format; see `--help` for the options.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
import threading
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import process_signals
from clock_check import explain_refusal, start_comparing_clocks
from confirming import start_confirming
from draining import DRAIN_SIGNAL, Drain
from log_lines import copy_stderr_to, runner_logger
from memory_release import release_after_prompts
from model_download import LogListener, ModelDownload
from model_source import (
    ModelError,
    block_prefix,
    derive_dht_prefix,
    explain_model_error,
    hub_token,
    load_config,
    resolve_model,
)
from petals_option_types import FILE_LIMIT, compression_problem, missing_device, server_arguments
from seeder_options import listening_addresses, parse_options, port_in_use
from served_counters import HANDLERS, ServedCounters
from server_choices import (
    StartError,
    choose_blocks,
    choose_device,
    choose_dtype,
    default_handlers,
)
from staying_joined import start_staying_joined
from supervisor_words import tell_supervisor
from weight_index import FolderWeights

STOP_DEADLINE_S = 4.0
# Blocks this small are slower on several threads than on one, above all on a busy machine.
SMALL_HIDDEN_SIZE = 1024
# A prompt is computed in pieces whose attention logits take at most this. Petals' default is four
# times as much, for GPUs; in bfloat16 a processor holds them five times over.
CPU_CHUNK_BYTES = 64 * 2**20
# What a server that has served may meet in the weights of other blocks, and meets again each time.
LASTING = ("adapter_unusable", "index_unusable", "no_weights", "pickled_code", "pickled_weights")

logger = runner_logger()


class _StopSignals:
    """What a stop signal does depends on how far the server has come."""

    def __init__(self) -> None:
        self.server: Any = None
        self.asked = False
        self.leaving = False

    def __call__(self, signum: int) -> None:
        self.asked = True
        # The wording is Petals' own for SIGINT, so that readers of the log know one line.
        logger.info("Caught KeyboardInterrupt, shutting down (%s)", signal.Signals(signum).name)
        if self.server is None:
            # Nothing is announced yet, and the main thread may be anywhere in an import.
            process_signals.end_now(0)
        if self.leaving:
            return
        # Native code can lose the exception. A thread sets the event, since whom the signal
        # interrupts may hold its lock.
        threading.Thread(target=self.server.stop.set, name="stop", daemon=True).start()
        # What Petals' own code expects: it announces the blocks offline on its way out.
        raise KeyboardInterrupt


def main() -> int:
    """Host the blocks and return the exit code."""
    options = parse_options()
    _copy_log(options.log_file)
    process_signals.tell_of_crashes()
    process_signals.tie_children_to_this_process()
    stop_signals = _StopSignals()
    process_signals.install_stop_handlers(stop_signals, STOP_DEADLINE_S)
    drain = Drain(logger)
    signal.signal(DRAIN_SIGNAL, drain.begin)
    counters = ServedCounters(max(HANDLERS, options.num_handlers or 0))
    logger.info("Starting a server for %s", options.model_name)
    try:
        try:
            server = _create_server(options, counters)
        except SystemExit as leaving:  # Petals' dry run of the throughput leaves this way
            return int(leaving.code or 0)
        except (StartError, ModelError):
            raise
        except Exception as error:
            raise StartError(_explain_start_error(error, options)) from error
        if options.initial_peer or options.new_swarm:
            peers, known = list(options.initial_peer or ()), list(options.known_peer or ())
            start_staying_joined(server, peers, known)
        start_comparing_clocks(server)
        return _serve(server, stop_signals, drain, counters)
    except (StartError, ModelError) as error:
        logger.error("%s", error)
        if isinstance(error, ModelError):
            tell_supervisor("refused")
        return 1
    except Exception as error:
        traceback.print_exc()
        detail = " ".join(str(error).split())[:300]
        logger.error("The server ended with %s: %s", type(error).__name__, detail)
        return 1


def _copy_log(file: Path | None) -> None:
    if file is None:
        return
    try:
        copy_stderr_to(file)
    except OSError as error:
        logger.warning("The log is not written to %s: %s", file, error.strerror)


def _create_server(options: argparse.Namespace, counters: ServedCounters) -> Any:
    model = resolve_model(options.model_name)
    maddrs = listening_addresses(options)
    if port := port_in_use(maddrs):
        raise StartError(f"Port {port} is already in use: choose another one with --port.")

    import petals_compat

    adapters = options.petals.get("adapters", ())
    petals_compat.apply("server", adapters=bool(adapters))
    if options.rewind:
        importlib.import_module("session_rewind").let_sessions_rewind()
    counters.hook()
    release_after_prompts()
    torch = importlib.import_module("torch")
    petals = importlib.import_module("petals")
    petals_server = importlib.import_module("petals.server.server")
    logger.info("Running Petals %s", petals.__version__)
    limits = importlib.import_module("hivemind.utils.limits")
    limits.logger.setLevel(logging.WARNING)
    if limit := options.petals.get("increase_file_limit", FILE_LIMIT):
        limits.increase_file_limit(limit, limit)

    config = load_config(model, revision=options.petals.get("revision"))
    device = choose_device(options.device, torch)
    if problem := missing_device(options.petals, torch.cuda.device_count()):
        raise StartError(problem)
    quantization = options.quantization or "none"
    if quantization != "none" and device.type != "cuda":
        raise StartError(f"Quantization to {quantization} needs a CUDA device, not {device}.")
    dtype = choose_dtype(options.torch_dtype, config, device, torch)
    if problem := compression_problem(options.petals, dtype, config.torch_dtype, device.type):
        raise StartError(problem)
    blocks = choose_blocks(options.blocks, config.num_hidden_layers, device.type)
    prefix = options.dht_prefix
    if prefix is None and Path(model).is_dir():
        prefix = derive_dht_prefix(model)
    if prefix is not None:  # Petals itself says this only for a prefix that it derived
        logger.info("Using DHT prefix: %s", prefix)
    cache = _cache(options)
    if adapters:  # before the model, which takes hours to come
        lora = importlib.import_module("lora_adapters")
        adapters = lora.load_adapters(adapters, partial(_download_of, cache, options), config)
    _get_weights(model, cache, config, blocks, options)
    small = device.type == "cpu" and config.hidden_size <= SMALL_HIDDEN_SIZE
    if small or not torch.backends.openmp.is_available():
        torch.set_num_threads(1)  # without OpenMP the server would freeze after forks

    arguments: dict[str, Any] = dict(
        initial_peers=_initial_peers(options, petals),
        converted_model_name_or_path=model,
        dht_prefix=prefix,
        public_name=options.public_name,
        throughput=options.throughput,
        num_handlers=options.num_handlers or default_handlers(device.type),
        attn_cache_tokens=options.attn_cache_tokens,
        torch_dtype=dtype,
        cache_dir=str(cache),
        max_disk_space=options.max_disk_space,
        device=device,
        update_period=options.update_period,
        request_timeout=options.request_timeout,
        # What Petals' own program gives; its server by itself would look half as often.
        mean_balance_check_period=60.0,
        # The random delay only matters to many servers started by one script.
        mean_block_selection_delay=0,
        token=hub_token(),
        quant_type=petals_server.QuantType[quantization.upper()],
        host_maddrs=maddrs,
        announce_maddrs=_announced(options),
        startup_timeout=60,
        identity_path=str(options.identity) if options.identity else None,
        **blocks,
    )
    if device.type == "cpu":
        arguments["max_chunk_size_bytes"] = CPU_CHUNK_BYTES
    arguments |= server_arguments(options.petals)
    arguments["adapters"] = adapters
    if options.new_swarm:
        # There is nobody to ask whether we can be reached; Petals would start a second p2pd
        # to find that out.
        arguments["reachable_via_relay"] = False
        logger.info("This server is accessible directly")
    return petals_server.Server(**arguments)


def _cache(options: argparse.Namespace) -> Path:
    """The folder of downloaded blocks, as Petals finds it."""
    if options.cache_dir is not None:
        return Path(options.cache_dir).expanduser()
    return Path(importlib.import_module("petals.utils.disk_cache").DEFAULT_CACHE_DIR)


def _get_weights(
    model: str, cache: Path, config: Any, blocks: dict[str, Any], options: argparse.Namespace
) -> None:
    """Download the blocks, or find them in the folder: now where they are known, otherwise when
    Petals has chosen them, and before it announces them.
    """
    weights: FolderWeights | ModelDownload
    if Path(model).is_dir():
        weights = FolderWeights(model, allow_pickled=options.allow_pickled)
    else:
        weights = _download_of(cache, options, model, revision=options.petals.get("revision"))
    prefix = block_prefix(config.model_type)
    if known := blocks.get("block_indices"):
        first, end = (int(part) for part in known.split(":"))
        weights.ensure([f"{prefix}.{index}." for index in range(first, end)])
    else:
        weights.check()
    block_downloads = importlib.import_module("block_downloads")
    block_downloads.download_before_loading(weights, prefix)
    block_downloads.load_through(weights, model)


def _download_of(cache: Path, options: argparse.Namespace, name: str, **more: Any) -> ModelDownload:
    return ModelDownload(
        name,
        cache,
        LogListener(),
        token=hub_token(),
        allow_pickled=options.allow_pickled,
        max_disk_space=options.max_disk_space,
        patience_s=options.download_patience,
        **more,
    )


def _initial_peers(options: argparse.Namespace, petals: Any) -> list[str]:
    if options.new_swarm:
        return []
    return list(options.initial_peer or petals.constants.PUBLIC_INITIAL_PEERS)


def _announced(options: argparse.Namespace) -> list[str] | None:
    if options.public_ip:
        return [f"/ip4/{options.public_ip}/tcp/{options.port}"]
    return options.announce_maddr or None


def _serve(server: Any, stop_signals: _StopSignals, drain: Drain, counters: ServedCounters) -> int:
    start_confirming(server, drain, counters, logger)
    code = 0
    try:
        stop_signals.server = server
        server.run()
    except KeyboardInterrupt:
        pass
    except (Exception, SystemExit) as error:
        code = _code_after(error, stop_signals)
    stop_signals.leaving = True
    process_signals.start_deadline(STOP_DEADLINE_S, code)
    try:
        _finish_interrupted_start()
        server.shutdown()
    except Exception as error:
        code = code or _code_after(error, stop_signals)
    return code


def _code_after(error: BaseException, stop_signals: _StopSignals) -> int:
    """Say why the server has ended, and return its exit code."""
    detail = " ".join(str(error).split())[:300]
    if stop_signals.asked:
        # Native code that a stop interrupts fails with errors of its own, safetensors for one.
        logger.info("The stop interrupted what ran (%s: %s)", type(error).__name__, detail)
        return 0
    if isinstance(error, ModelError):
        logger.error("%s", error)
        if error.code in LASTING:
            tell_supervisor("refused")
        return 1
    traceback.print_exception(error)
    logger.error("The server ended with %s: %s", type(error).__name__, detail)
    return 1


def _finish_interrupted_start() -> None:
    """Shut down what Petals had started when it was interrupted between create and run."""
    petals_server = importlib.import_module("petals.server.server")
    for thread in threading.enumerate():
        if isinstance(thread, petals_server.ModuleContainer) and thread.ready.is_set():
            thread.shutdown()
    for thread in threading.enumerate():
        if isinstance(thread, petals_server.ModuleAnnouncerThread):
            thread.announce(petals_server.ServerState.OFFLINE)
            logger.info("Announced that blocks %s are offline", thread.module_uids)


def _explain_start_error(error: Exception, options: argparse.Namespace) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    if (clocks := explain_refusal(text)) is not None:
        return clocks
    if "bootstrap failed" in text or "failed to connect to bootstrap peers" in text:
        peers = ", ".join(options.initial_peer or ["the public swarm's"])
        return f"None of the initial peers answered ({peers}): {text}"
    if "already taken by another peer" in text or "Daemon failed" in text or "p2pd" in text:
        return text
    if "multiaddr" in text.lower() or "Multiaddr" in kind:
        return f"An address is not valid: {text}"
    if isinstance(error, (OSError, ValueError)) and options.model_name in text:
        return str(explain_model_error(error, options.model_name))
    traceback.print_exception(error)
    return f"The server cannot start, {kind}: {text[:300]}"


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # Python's own exit would wait for threads of Petals, and joins children that are gone.
    process_signals.end_now(exit_code)
