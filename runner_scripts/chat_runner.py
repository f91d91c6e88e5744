"""The loop of the chat runner: one line of questions, from any number of connections."""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import process_signals
from chat_answer import Answer, Route
from chat_errors import ChatError, explain_generation_error, not_served
from json_lines import (
    BadRequestError,
    CancelRequest,
    GenerateRequest,
    GenerationDefaults,
    ReleaseRequest,
    ShutdownRequest,
    parse_line,
)
from log_lines import runner_logger
from route_watch import RouteWatch

STOP_DEADLINE_S = 3.0
CANCEL_GRACE_S = 0.1
MAX_WAITING = 8
MAX_RELEASES = 64
IDLE_CHECK_S = 10.0

logger = runner_logger()


class Connection(Protocol):
    """Where questions come from and where their events go."""

    def write(self, event: dict[str, Any]) -> None:
        """Send one event; a connection that is gone swallows it."""


class ChatModel(Protocol):
    """A model that answers: on a swarm, or in this process."""

    num_blocks: int
    max_tokens: int

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has a chat template of its own."""

    @property
    def prompt_format(self) -> str:
        """How conversations are written: template, chatml, llama-2 or plain."""

    @property
    def has_session(self) -> bool:
        """Whether something is held for a conversation."""

    def look_up_route(self) -> Route:
        """Look who serves the blocks now."""

    def prepare_route(self) -> None:
        """Get what the first question would otherwise wait for."""

    def generate(self, answer: Answer) -> str:
        """Answer and return the finish reason; raises ChatError."""

    def release(self, conversation: str) -> None:
        """Give up what is held for a conversation."""

    def close_idle(self, older_than_s: float) -> None:
        """Give up what has not been used for so long."""

    def close(self) -> None:
        """Give up everything."""


StartModel = Callable[[Callable[..., None]], ChatModel]
"""Starts a model and tells its stages meanwhile, with facts by name; raises ChatError."""


class _Turn:
    """A question that waits or runs; only one of its ends is told to the app."""

    def __init__(self, request: GenerateRequest, connection: Connection) -> None:
        self.answer = Answer(request, self._deliver, self._notify)
        self.key = (connection, request.id)
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = False

    def _deliver(self, text: str) -> bool:
        return self._write({"type": "token", "id": self.answer.request.id, "text": text})

    def _notify(self, event: dict[str, Any]) -> None:
        self._write({"type": event["type"], "id": self.answer.request.id} | event)

    def _write(self, event: dict[str, Any]) -> bool:
        with self._lock:
            if not self._ended:
                self._connection.write(event)
            return not self._ended

    def end(self, event: dict[str, Any]) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                self._connection.write(event)

    def done(self, finish_reason: str) -> None:
        event = {"type": "done", "id": self.answer.request.id, "finish_reason": finish_reason}
        self.end(event | self.answer.counts())

    def cancel(self) -> None:
        """Stop between two tokens; if the next is not there in time, do not wait for it."""
        self.answer.cancelled.set()
        timer = threading.Timer(CANCEL_GRACE_S, self.done, ("cancelled",))
        timer.daemon = True
        timer.start()

    def abandon(self) -> None:
        """Stop: nobody is there to be told."""
        with self._lock:
            self._ended = True
        self.answer.cancelled.set()


class ChatRunner:
    """Answers the questions of its connections, one after the other.

    A connection is first told the stage and the route, and from then on how they change.
    """

    def __init__(
        self,
        start_model: StartModel,
        facts: dict[str, Any],
        defaults: GenerationDefaults,
        session_idle_timeout_s: float,
    ) -> None:
        self._start_model = start_model
        self._facts = facts
        self._defaults = defaults
        self._session_idle_timeout_s = session_idle_timeout_s
        self.on_stop: Callable[[], None] = lambda: None
        """Called first when a stop is asked for, perhaps in a signal handler."""
        # A SimpleQueue, since signal handlers put into it. It only says that there is something.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._line: deque[_Turn | ReleaseRequest] = deque()
        self._turns: dict[tuple[Connection, str], _Turn] = {}
        self._turns_lock = threading.Lock()
        self._connections: list[Connection] = []
        self._last_events: dict[str, dict[str, Any]] = {}
        self._publishing = threading.Lock()
        self._watch: RouteWatch | None = None
        self._ready = False
        self._started = False
        self._stopping = False

    def connect(self, connection: Connection) -> None:
        """Tell a new connection how things stand."""
        with self._publishing:
            self._connections.append(connection)
            for event in self._last_events.values():
                connection.write(event)

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection that is gone, and stop its answers."""
        with self._publishing:
            self._connections.remove(connection)
        with self._turns_lock:
            turns = [turn for turn in self._turns.values() if turn.key[0] is connection]
            for turn in turns:
                self._leave_line(turn)
        for turn in turns:
            turn.abandon()

    def receive(self, connection: Connection, line: bytes) -> None:
        """Do what a line asks for, or answer what is wrong with it."""
        try:
            request = parse_line(line, self._defaults)
        except BadRequestError as error:
            _error(connection, error.request_id, "bad_request", str(error))
            return
        if isinstance(request, ShutdownRequest):
            self.request_stop()
        elif isinstance(request, CancelRequest):
            self._cancel(connection, request.id)
        elif isinstance(request, ReleaseRequest):
            self._release(connection, request)
        elif isinstance(request, GenerateRequest):
            self._enqueue(connection, request)

    def request_stop(self) -> None:
        """End as soon as possible; safe in a signal handler and in any thread."""
        self._stopping = True
        process_signals.start_deadline(STOP_DEADLINE_S)
        self.on_stop()
        if not self._started:
            process_signals.end_now(0)
        for turn in list(self._turns.values()):
            turn.answer.cancelled.set()
        self._wake.put(None)

    def run(self) -> int:
        """Start, then answer until asked to stop; return the exit code."""
        try:
            model = self._start_model(self._status)
        except ChatError as error:
            self._publish(error.event(None, fatal=True))
            return 1
        except Exception as error:
            traceback.print_exc()
            known = ChatError("internal", f"The chat runner cannot start: {error}")
            self._publish(known.event(None, fatal=True))
            return 1
        self._started = True
        self._facts |= {
            "num_blocks": model.num_blocks,
            "has_chat_template": model.has_chat_template,
            "prompt_format": model.prompt_format,
            "max_session_tokens": model.max_tokens,
        }
        self._status("routing")
        self._watch = watch = RouteWatch(model.look_up_route, self._route_changed)
        watch.start()
        while not self._stopping:
            self._settle_stage(model)
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=self._idle_check_s if model.has_session else None)
            model.close_idle(self._session_idle_timeout_s)
            request = self._next()
            if isinstance(request, ReleaseRequest):
                model.release(request.conversation)
            elif request is not None:
                self._answer(model, watch, request)
        model.close()
        return 0

    @property
    def _idle_check_s(self) -> float:
        return min(IDLE_CHECK_S, self._session_idle_timeout_s / 4)

    def _enqueue(self, connection: Connection, request: GenerateRequest) -> None:
        turn = _Turn(request, connection)
        with self._turns_lock:
            count = len(self._turns)  # one of them may run
            used = turn.key in self._turns
            if not used and count <= MAX_WAITING:
                self._turns[turn.key] = turn
                self._line.append(turn)
                self._wake.put(None)
                return
        if used:
            message = f'id is "{request.id}"; accepted is one not in use.'
            _error(connection, request.id, "bad_request", message)
        else:
            _error(connection, request.id, "busy", f"{count} questions are waiting already.")

    def _release(self, connection: Connection, request: ReleaseRequest) -> None:
        with self._turns_lock:
            room = sum(isinstance(item, ReleaseRequest) for item in self._line) < MAX_RELEASES
            if room:
                self._line.append(request)
                self._wake.put(None)
        if not room:
            _error(connection, None, "busy", f"{MAX_RELEASES} releases are waiting already.")

    def _cancel(self, connection: Connection, request_id: str) -> None:
        with self._turns_lock:
            turn = self._turns.get((connection, request_id))
            waited = turn is not None and self._leave_line(turn)
        if turn is not None:
            turn.done("cancelled") if waited else turn.cancel()

    def _leave_line(self, turn: _Turn) -> bool:
        """Make room for another question, unless the turn is being answered."""
        if turn not in self._line:
            return False
        self._line.remove(turn)
        del self._turns[turn.key]
        return True

    def _next(self) -> _Turn | ReleaseRequest | None:
        with self._turns_lock:
            return self._line.popleft() if self._line else None

    def _answer(self, model: ChatModel, watch: RouteWatch, turn: _Turn) -> None:
        try:
            if turn.answer.cancelled.is_set():
                turn.done("cancelled")
                return
            if not self._ready:
                route = watch.look()
                self._settle_stage(model)
                if route.missing:
                    raise not_served(route)
            turn.done(model.generate(turn.answer))
        except Exception as error:
            known = explain_generation_error(error)
            if known.code == "internal":
                traceback.print_exception(error)
            elif known is not error:
                logger.warning("The answer failed: %r", error)
            turn.end(known.event(turn.answer.request.id))
            watch.look_soon()
        finally:
            with self._turns_lock:
                del self._turns[turn.key]

    def _settle_stage(self, model: ChatModel) -> None:
        """Be ready while the route is complete."""
        route = self._watch.route if self._watch is not None else None
        complete = route is not None and not route.missing
        if complete and not self._ready:
            model.prepare_route()
            self._status("ready", **self._facts)
        elif self._ready and not complete:
            self._status("routing")
        self._ready = complete

    def _route_changed(self, route: Route) -> None:
        self._publish({"type": "route"} | route.facts())
        self._wake.put(None)

    def _status(self, stage: str, **facts: Any) -> None:
        self._publish({"type": "status", "stage": stage, **facts})

    def _publish(self, event: dict[str, Any]) -> None:
        with self._publishing:
            self._last_events[event["type"]] = event
            for connection in self._connections:
                connection.write(event)


def _error(connection: Connection, request_id: str | None, code: str, message: str) -> None:
    connection.write({"type": "error", "id": request_id, "code": code, "message": message})
