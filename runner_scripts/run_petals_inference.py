"""Asks a model: JSON lines on stdin/stdout or on a socket, or one prompt with --prompt.

JSON lines (the default, or --serve): see docs for the events. One question is answered at a time;
up to 8 more wait in line, further ones get the error code `busy`. With --listen, any number of
programs talk with one runner over a Unix socket, and it ends by itself when none has been
connected for --linger seconds; when a runner serves that socket already, this one leaves at once
with 0. One-shot: with --prompt, the answer is printed as plain text (as it comes with --stream).
Exit codes of the one-shot form: 0, 1 error, 2 bad usage, 5 nobody serves the model, 128 + signal.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import threading
import traceback

import process_signals
from argument_types import (
    OneSentenceParser,
    adapter_name,
    dht_prefix,
    is_folder,
    model_name,
    number,
    peer_address,
    revision,
    whole_number,
)
from chat_answer import Answer
from chat_errors import ChatError, explain_generation_error, not_served
from chat_runner import STOP_DEADLINE_S, ChatRunner
from json_lines import GenerateRequest, GenerationDefaults, ProtocolWriter, read_lines
from listening import Listener
from log_lines import runner_logger
from model_start import start_model
from socket_file import SocketFile, SocketFileError, socket_path

FATAL_ERROR_KEPT_S = 5.0

logger = runner_logger()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model-name", required=True, type=model_name, help="hub id or local folder")
    add("--revision", type=revision, help="branch, tag or commit at the hub (default: main)")
    add("--adapter", type=adapter_name, help="LoRA adapter that the servers are to use")
    add("--dht-prefix", type=dht_prefix, help="name of the blocks in the swarm (default: derived)")
    add("--initial-peer", action="append", type=peer_address, help="repeatable; none: public swarm")
    add("--local", action="store_true", help="load the model here and ask no swarm")
    add(
        "--allow-pickled",
        action="store_true",
        help="take weights that can run code when they are loaded, where there are no safetensors",
    )
    add("--torch-dtype", choices=("float32", "float16", "bfloat16"), help="default: checkpoint's")
    add("--max-session-tokens", type=whole_number(16, 1_000_000), default=2048)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--serve", action="store_true", help="JSON lines (the default)")
    form.add_argument("--listen", type=socket_path, metavar="SOCKET", help="JSON lines, for many")
    form.add_argument("--prompt", help="answer this and leave; - reads it from stdin")
    add("--linger", type=number(0, 86400), default=300.0, help="seconds without a connection")
    add("--system", help="instruction before the conversation")
    add("--stream", action="store_true", help="with --prompt: print text as it comes")
    add("--max-new-tokens", type=whole_number(1, 1_000_000), default=512)
    add("--temperature", type=number(0, 10), default=0.0, help="0: greedy (default)")
    add("--top-p", type=number(0, 1), default=1.0)
    add("--seed", type=whole_number(0, 2**63 - 1))
    add("--request-timeout", type=number(1, 3600), default=10.0, help="seconds, also for a prefill")
    add("--connect-timeout", type=number(0.1, 600), default=2.0, help="seconds")
    # About 18 s in all: the only server of a swarm may just have been started again.
    add("--max-retries", type=whole_number(0, 100), default=12, help="after a server failed")
    add("--session-idle-timeout", type=number(1, 86400), default=240.0, help="seconds")
    options = parser.parse_args(arguments)
    if options.stream and options.prompt is None:
        parser.error("--stream: is only for the form with --prompt.")
    if options.local and (options.initial_peer or options.dht_prefix):
        parser.error("--local: is not accepted with --initial-peer or --dht-prefix.")
    if options.local and options.adapter:
        parser.error("--local: is not accepted with --adapter, which only servers have.")
    if options.revision and is_folder(options.model_name):
        parser.error(
            f"--revision {options.revision}: {options.model_name} is a folder,"
            " which has no revisions."
        )
    return options


def make_runner(options: argparse.Namespace) -> ChatRunner:
    """Return the loop for the forms that talk in JSON lines, with its signal handlers."""
    process_signals.tie_children_to_this_process()
    runner = ChatRunner(
        functools.partial(start_model, options),
        {"model": options.model_name, "local": options.local},
        GenerationDefaults(
            options.max_new_tokens, options.temperature, options.top_p, options.seed
        ),
        options.session_idle_timeout,
    )
    process_signals.install_stop_handlers(lambda _signum: runner.request_stop(), STOP_DEADLINE_S)
    return runner


def serve(options: argparse.Namespace) -> int:
    """The JSON-lines form on stdin and stdout; the end of stdin says that the app is gone."""
    writer = ProtocolWriter.take_stdout()
    runner = make_runner(options)
    writer.on_broken = runner.request_stop
    runner.connect(writer)

    def read() -> None:
        for line in read_lines(0):
            runner.receive(writer, line)
        runner.request_stop()

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return runner.run()


def listen(options: argparse.Namespace) -> int:
    """The JSON-lines form on a socket."""
    ProtocolWriter.take_stdout()
    file = SocketFile(options.listen)
    try:
        listening = file.listen()
    except SocketFileError as error:
        logger.error("%s", error)
        return 1
    if listening is None:
        logger.info("Another runner serves %s already: leaving", options.listen)
        return 0
    runner = make_runner(options)
    runner.on_stop = file.remove
    listener = Listener(file, listening, runner, options.linger)
    listener.start()
    code = runner.run()
    if code:
        listener.wait_for_connection(FATAL_ERROR_KEPT_S)  # whoever has started it wants to know
    listener.close()
    return code


def answer_once(options: argparse.Namespace) -> int:
    """The one-shot form: plain text on stdout."""
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()

    def stop(signum: int) -> None:
        process_signals.end_now(128 + signum)

    process_signals.install_stop_handlers(stop, STOP_DEADLINE_S)
    writer.on_broken = lambda: process_signals.end_now(128 + signal.SIGPIPE)
    pieces: list[str] = []

    def deliver(text: str) -> bool:
        if options.stream:
            writer.write_bytes(text.encode("utf-8", "replace"))
        pieces.append(text)
        return True

    def status(stage: str, **_facts: object) -> None:
        if stage != "downloading":  # the log has its progress already
            logger.info("Stage: %s", stage)

    messages = [{"role": "system", "content": options.system}] if options.system else []
    messages.append({"role": "user", "content": prompt})
    request = GenerateRequest(
        "one-shot",
        tuple(messages),
        options.max_new_tokens,
        options.temperature,
        options.top_p,
        options.seed,
    )
    try:
        model = start_model(options, status)
        status("routing")
        route = model.look_up_route()
        if route.missing:
            raise not_served(route)
        model.generate(Answer(request, deliver))
    except ChatError as error:
        logger.error("%s", error.sentence)
        return 5 if error.missing is not None else 1
    except Exception as error:
        traceback.print_exc()
        logger.error("%s", explain_generation_error(error))
        return 1
    rest = "\n" if options.stream else "".join(pieces) + "\n"
    writer.write_bytes(rest.encode("utf-8", "replace"))
    model.close()
    return 0


def main() -> int:
    """Run the form that the options ask for and return the exit code."""
    options = parse_options()
    process_signals.tell_of_crashes()
    if options.listen is not None:
        return listen(options)
    return serve(options) if options.prompt is None else answer_once(options)


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # Python's own exit would run into threads and processes of hivemind that never end.
    process_signals.end_now(exit_code)
