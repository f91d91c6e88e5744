"""Asks a model on a Petals swarm: JSON lines on stdin/stdout, or one prompt with --prompt.

JSON lines (the default, or --serve): see docs for the events. One question is answered at a
time; up to 8 more wait in line, further ones get the error code `busy`. One-shot: with --prompt,
the answer is printed as plain text (as it comes with --stream). Exit codes of the one-shot form:
0, 1 error, 2 bad usage, 5 nobody serves the model, 128 + signal.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import process_signals
from argument_types import (
    OneSentenceParser,
    dht_prefix,
    model_name,
    number,
    peer_address,
    whole_number,
)
from json_lines import (
    BadRequestError,
    CancelRequest,
    GenerateRequest,
    GenerationDefaults,
    ProtocolWriter,
    ShutdownRequest,
    parse_line,
    read_lines,
)
from log_lines import runner_logger

STOP_DEADLINE_S = 3.0
CANCEL_GRACE_S = 0.1
MAX_WAITING = 8

logger = runner_logger()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model-name", required=True, type=model_name, help="hub id or local folder")
    add("--dht-prefix", type=dht_prefix, help="name of the blocks in the swarm (default: derived)")
    add("--initial-peer", action="append", type=peer_address, help="repeatable; none: public swarm")
    add("--torch-dtype", choices=("float32", "float16", "bfloat16"), help="default: checkpoint's")
    add("--max-session-tokens", type=whole_number(16, 1_000_000), default=2048)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--serve", action="store_true", help="JSON lines (the default)")
    form.add_argument("--prompt", help="answer this and leave; - reads it from stdin")
    add("--system", help="instruction before the conversation")
    add("--stream", action="store_true", help="with --prompt: print text as it comes")
    add("--max-new-tokens", type=whole_number(1, 1_000_000), default=512)
    add("--temperature", type=number(0, 10), default=0.0, help="0: greedy (default)")
    add("--top-p", type=number(0, 1), default=1.0)
    add("--seed", type=whole_number(0, 2**63 - 1))
    add("--request-timeout", type=number(1, 3600), default=10.0, help="seconds, also for a prefill")
    add("--connect-timeout", type=number(0.1, 600), default=2.0, help="seconds")
    add("--max-retries", type=whole_number(0, 100), default=6, help="after a server failed")
    add("--session-idle-timeout", type=number(1, 86400), default=240.0, help="seconds")
    options = parser.parse_args(arguments)
    if options.stream and options.prompt is None:
        parser.error("--stream: is only for the form with --prompt.")
    return options


class _Turn:
    """A question that waits or runs; only one of its ends is told to the app."""

    def __init__(self, request: GenerateRequest, writer: ProtocolWriter) -> None:
        from chat_answer import Answer

        self.answer = Answer(request, self._deliver)
        self._writer = writer
        self._lock = threading.Lock()
        self._ended = False

    def _deliver(self, text: str) -> bool:
        with self._lock:
            if not self._ended:
                event = {"type": "token", "id": self.answer.request.id, "text": text}
                self._writer.write(event)
            return not self._ended

    def end(self, event: dict[str, Any]) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                self._writer.write(event)

    def done(self, finish_reason: str) -> None:
        event = {"type": "done", "id": self.answer.request.id, "finish_reason": finish_reason}
        self.end(event | self.answer.counts())

    def cancel(self) -> None:
        """Stop between two tokens; if the next is not there in time, do not wait for it."""
        self.answer.cancelled.set()
        timer = threading.Timer(CANCEL_GRACE_S, self.done, ("cancelled",))
        timer.daemon = True
        timer.start()


class ChatRunner:
    """The loop of the JSON-lines form."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        self._options = options
        self._writer = writer
        # A SimpleQueue, since signal handlers put into it.
        self._queue: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._turns: dict[str, _Turn] = {}
        self._turns_lock = threading.Lock()
        self._stopping = False
        self._started = False
        self._routed = False
        self._defaults = GenerationDefaults(
            options.max_new_tokens, options.temperature, options.top_p, options.seed
        )

    def request_stop(self) -> None:
        """End as soon as possible; safe in a signal handler and in any thread."""
        self._stopping = True
        process_signals.start_deadline(STOP_DEADLINE_S)
        if not self._started:
            process_signals.end_now(0)
        for turn in list(self._turns.values()):
            turn.answer.cancelled.set()
        self._queue.put(None)

    def read(self) -> None:
        """Read requests until stdin ends, which is also how we learn that the app is gone."""
        for line in read_lines(0):
            try:
                request = parse_line(line, self._defaults)
            except BadRequestError as error:
                self._error(error.request_id, "bad_request", str(error))
                continue
            if isinstance(request, ShutdownRequest):
                break
            if isinstance(request, CancelRequest):
                if turn := self._turns.get(request.id):
                    turn.cancel()
            elif isinstance(request, GenerateRequest):
                self._enqueue(request)
        self.request_stop()

    def _enqueue(self, request: GenerateRequest) -> None:
        with self._turns_lock:
            if request.id in self._turns:
                self._error(
                    request.id, "bad_request", f'id is "{request.id}"; accepted is one not in use.'
                )
                return
            if len(self._turns) > MAX_WAITING:
                message = f"{len(self._turns)} questions are waiting already."
                self._error(request.id, "busy", message)
                return
            turn = _Turn(request, self._writer)
            self._turns[request.id] = turn
        self._queue.put(turn)

    def run(self) -> int:
        """Start, then answer until asked to stop; return the exit code."""
        from chat_errors import ChatError

        try:
            model = start_model(self._options, self._status)
        except ChatError as error:
            self._writer.write(error.event(None, fatal=True))
            return 1
        self._started = True
        self._facts = {
            "model": self._options.model_name,
            "num_blocks": model.num_blocks,
            "has_chat_template": model.has_chat_template,
            "max_session_tokens": model.max_tokens,
        }
        try:
            if not self._stopping:
                self._check_route(model)
        except ChatError as error:
            self._writer.write(error.event(None))
        while not self._stopping:
            try:
                turn = self._queue.get(
                    timeout=self._options.session_idle_timeout if model.has_session else None
                )
            except queue.Empty:
                logger.info("Closing the idle session")
                model.discard_session()
                continue
            if turn is not None:
                self._answer(model, turn)
        model.close()
        return 0

    def _check_route(self, model: Any) -> None:
        self._status("routing")
        model.check_route()
        model.prepare_route()
        self._routed = True
        self._status("ready", **self._facts)

    def _answer(self, model: Any, turn: _Turn) -> None:
        from chat_errors import explain_generation_error

        try:
            if turn.answer.cancelled.is_set():
                turn.done("cancelled")
                return
            if not self._routed:
                self._check_route(model)
            turn.done(model.generate(turn.answer))
        except Exception as error:
            known = explain_generation_error(error)
            if known.code == "internal":
                traceback.print_exception(error)
            elif known is not error:
                logger.warning("The answer failed: %r", error)
            turn.end(known.event(turn.answer.request.id))
            if known.code == "missing_blocks":
                self._routed = False
        finally:
            with self._turns_lock:
                self._turns.pop(turn.answer.request.id, None)

    def _status(self, stage: str, **facts: Any) -> None:
        self._writer.write({"type": "status", "stage": stage, **facts})

    def _error(self, request_id: str | None, code: str, message: str) -> None:
        self._writer.write({"type": "error", "id": request_id, "code": code, "message": message})


def start_model(options: argparse.Namespace, status: Any) -> Any:
    """Import the stack, load the tokenizer and join the swarm; raises ChatError."""
    from chat_errors import ChatError, explain_connect_error
    from model_source import (
        ModelError,
        derive_dht_prefix,
        explain_model_error,
        hub_token,
        load_config,
        resolve_model,
    )

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


def serve(options: argparse.Namespace) -> int:
    """The JSON-lines form."""
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()
    runner = ChatRunner(options, writer)
    writer.on_broken = runner.request_stop
    process_signals.install_stop_handlers(lambda _signum: runner.request_stop(), STOP_DEADLINE_S)
    threading.Thread(target=runner.read, name="stdin", daemon=True).start()
    return runner.run()


def answer_once(options: argparse.Namespace) -> int:
    """The one-shot form: plain text on stdout."""
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()

    def stop(signum: int) -> None:
        process_signals.end_now(128 + signum)

    process_signals.install_stop_handlers(stop, STOP_DEADLINE_S)
    writer.on_broken = lambda: process_signals.end_now(128 + signal.SIGPIPE)
    from chat_errors import ChatError, explain_generation_error

    pieces: list[str] = []

    def deliver(text: str) -> bool:
        if options.stream:
            writer.write_bytes(text.encode("utf-8", "replace"))
        pieces.append(text)
        return True

    def status(stage: str) -> None:
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
        model.check_route()
        from chat_answer import Answer

        model.generate(Answer(request, deliver))
    except ChatError as error:
        logger.error("%s", error)
        return 5 if error.code == "missing_blocks" else 1
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
    return serve(options) if options.prompt is None else answer_once(options)


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # Python's own exit would run into threads and processes of hivemind that never end.
    process_signals.end_now(exit_code)
