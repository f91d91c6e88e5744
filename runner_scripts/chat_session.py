"""The model on the swarm: it answers, and reuses a conversation's session from turn to turn."""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

from answer_prompt import prompt_for
from chat_answer import Answer, Route
from chat_errors import ChatError, LengthRefusedError
from chat_prompt import EncodedPrompt, PromptFormat
from held_tokens import HeldText
from log_lines import runner_logger
from server_stream import StoppedError, WireFormat
from session_pool import Conversation, SessionPool
from shown_answer import ShownAnswer
from swarm_route import SwarmRoute
from swarm_session import SwarmSession, Watch
from token_stream import TextAssembler

logger = runner_logger()

# Below this, handing the output layer's work to other threads costs more than it saves, and much
# more when the machine is busy.
SMALL_HEAD_PARAMETERS = 16_000_000
# How long a stopped answer's session waits for what the person does instead.
STOPPED_KEPT_S = 10.0


@dataclass(frozen=True)
class ChatSettings:
    """What the chat runner's options say about the swarm and its sessions."""

    model: str
    dht_prefix: str | None
    initial_peers: list[str]
    adapter: str
    torch_dtype: str | None
    max_session_tokens: int
    request_timeout: float
    connect_timeout: float
    max_retries: int


class SwarmModel:
    """A causal language model whose blocks are served by a swarm."""

    def __init__(self, settings: ChatSettings, config: Any, prompt_format: PromptFormat) -> None:
        self._format = prompt_format
        self._pool = SessionPool()
        self._model = _connect(settings, config)
        self._blocks = self._model.transformer.h.sequence_manager
        self._route = SwarmRoute(self._blocks, settings.adapter)
        self._wire = WireFormat()
        self.num_blocks = len(self._blocks)
        self.max_tokens = _session_tokens(settings.max_session_tokens, config)
        generation_eos = getattr(self._model.generation_config, "eos_token_id", None)
        eos = generation_eos or config.eos_token_id
        self._stop_ids = prompt_format.stop_ids(eos)
        self._raw_stop_ids = prompt_format.stop_ids(eos, raw=True)
        self.prompt_format = prompt_format.kind

    def look_up_route(self) -> Route:
        """Return which servers would answer now, or which blocks nobody serves."""
        return self._route.look_up()

    def prepare_route(self) -> None:
        """Get what the first question would otherwise wait for; failures come up again then."""
        try:
            self._route.spans(0, self.num_blocks)
            _ = self._blocks.rpc_info
        except Exception as error:
            logger.warning("The route is not ready yet: %r", error)

    def generate(self, answer: Answer) -> str:
        """Answer, delivering text as it comes; return the finish reason.

        Raises ChatError. `answer.cancelled` ends it, also while a server is waited for.
        """
        while True:
            prompt = prompt_for(answer, self._format, self.max_tokens)
            conversation = self._pool.take(answer.request.conversation)
            reason = "error"
            try:
                reason = self._answer(answer, prompt, conversation)
                return reason
            except LengthRefusedError as refusal:
                if refusal.limit >= self.max_tokens or answer.tokens:
                    raise
                logger.warning("The servers' sessions hold only %d tokens", refusal.limit)
                self.max_tokens = refusal.limit
            finally:
                if reason == "error":
                    _abandon(conversation)
                self._pool.give_back(conversation, stopped=reason == "cancelled")
                if reason == "cancelled":
                    self._close_stopped_later()

    def _answer(self, answer: Answer, prompt: EncodedPrompt, conversation: Conversation) -> str:
        request = answer.request
        raw = request.prompt is not None
        stop_ids = self._raw_stop_ids if raw else self._stop_ids
        stop_texts = () if raw else self._format.stop_strings
        assembler = TextAssembler(self._format.decode, (*stop_texts, *request.stop))
        torch = importlib.import_module("torch")
        torch.manual_seed(request.seed) if request.seed is not None else torch.seed()
        shown = ShownAnswer(answer, assembler)
        try:
            self._route.ensure_known(answer.cancelled)
            new_ids = self._go_back(conversation, prompt)
            session = conversation.session
            assert session is not None
            limit = min(request.max_new_tokens, self.max_tokens - _held(session) - len(new_ids))
            session.watch = self._watch(answer)
            self._plan(session, answer.cancelled)
            answer.tell_started(session.reusable, session.route)
            self._run(answer, session, new_ids, limit, stop_ids, shown)
        except StoppedError:
            _abandon(conversation)
            return "cancelled"
        shown.finish()
        answer.route = session.route
        self._remember(conversation, prompt, shown, stop_ids)
        return shown.finish_reason(stop_ids, limit)

    def _go_back(self, conversation: Conversation, prompt: EncodedPrompt) -> list[int]:
        """Set the session back to what it has in common with the prompt; return what is new."""
        session = conversation.session
        if session is None:
            conversation.session = SwarmSession(
                self._blocks, self._route, self._wire, self.max_tokens
            )
            return prompt.ids
        held = session.output_ids[0].tolist() if session.output_ids is not None else []
        continuation = conversation.held.continuation(held, prompt, self.max_tokens)
        if continuation.keep < len(held):
            session.rewind(continuation.keep)
            conversation.held.keep(continuation.keep)
        return continuation.rest

    def _plan(self, session: SwarmSession, stop: threading.Event) -> None:
        try:
            session.plan()
        except ChatError:
            self._route.refresh(stop)
            session.plan()

    def _watch(self, answer: Answer) -> Watch:
        def recovering(first: int, end: int) -> None:
            answer.notify({"type": "recovering", "first": first, "end": end})

        def recovered(seconds: float, route: Route) -> None:
            answer.route = route
            event = {"type": "recovered", "seconds": round(seconds, 3), "route": route.facts()}
            answer.notify(event)

        def make_room() -> bool:
            return self._pool.close_idle(0)

        return Watch(answer.cancelled, recovering, recovered, make_room)

    def _run(
        self,
        answer: Answer,
        session: SwarmSession,
        new_ids: list[int],
        limit: int,
        stop_ids: list[int],
        shown: ShownAnswer,
    ) -> None:
        torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        request = answer.request
        sampling: dict[str, Any] = {"do_sample": False}
        if request.temperature > 0:
            sampling = {"do_sample": True, "top_k": 0, "top_p": request.top_p}
            sampling["temperature"] = request.temperature
        self._model.generate(
            torch.tensor([new_ids]) if new_ids else None,
            session=session,
            generation_config=transformers.GenerationConfig(
                max_new_tokens=limit,
                eos_token_id=stop_ids or None,
                # For a tokenizer without an end of text, any token does: nothing is ever padded.
                pad_token_id=stop_ids[0] if stop_ids else 0,
                **sampling,
            ),
            streamer=_Streamer(shown),
            stopping_criteria=transformers.StoppingCriteriaList([shown.should_stop]),
        )

    def _remember(
        self,
        conversation: Conversation,
        prompt: EncodedPrompt,
        shown: ShownAnswer,
        stop_ids: list[int],
    ) -> None:
        """Note what the session's tokens say, as far as the person has seen it."""
        assert conversation.session is not None
        total = conversation.session.output_ids.shape[1]
        tokens = shown.tokens
        conversation.held.add(prompt.text, total - len(tokens))
        if shown.withheld:
            return
        text = prompt.text + shown.text
        if tokens and tokens[-1] in stop_ids:
            text += self._format.token_text(tokens[-1])
        conversation.held.add(text, total)

    def _close_stopped_later(self) -> None:
        def close() -> None:
            self._pool.close_idle(STOPPED_KEPT_S, stopped_only=True)

        timer = threading.Timer(STOPPED_KEPT_S + 0.1, close)
        timer.daemon = True
        timer.start()

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has a chat template of its own."""
        return self._format.has_chat_template

    @property
    def has_session(self) -> bool:
        """Whether servers hold a cache for us."""
        return self._pool.has_session

    def release(self, conversation: str) -> None:
        """Close a conversation's session, now or when its answer is complete."""
        self._pool.release(conversation)

    def close_idle(self, older_than_s: float) -> None:
        """Close the sessions that had no question for that long."""
        self._pool.close_idle(older_than_s)

    def close(self) -> None:
        """Close the sessions, the sequence manager and the DHT."""
        self._pool.close()
        self._blocks._thread.shutdown(timeout=1)
        self._blocks.dht.shutdown()
        # hivemind's finalizers want an event loop and print tracebacks without one: never freed.
        _closed.append(self)


_closed: list[SwarmModel] = []


class _Streamer:
    """What transformers calls with each token; the first call brings the prompt."""

    def __init__(self, shown: ShownAnswer) -> None:
        self._shown = shown
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            self._shown.add_token(int(value.reshape(-1)[0]))
        self._prompt_seen = True

    def end(self) -> None:
        pass


def _held(session: SwarmSession) -> int:
    return 0 if session.output_ids is None else int(session.output_ids.shape[1])


def _abandon(conversation: Conversation) -> None:
    """Give up a session that was interrupted within a step: nobody knows where it stands."""
    session, conversation.session = conversation.session, None
    conversation.held = HeldText()
    if session is not None:
        session.close()


def _session_tokens(wanted: int, config: Any) -> int:
    """Return how many tokens a session can hold: as wanted, as trained, as Petals allows.

    A server takes sessions of 2,048 tokens unless told otherwise, or of 8,192 when several heads
    share their keys (petals/server/server.py). One that takes fewer says so with the first step.
    """
    heads = getattr(config, "num_attention_heads", None)
    shared = (
        getattr(config, "num_key_value_heads", heads) != heads
        or getattr(config, "multi_query", False)
        or getattr(config, "new_decoder_architecture", False)
    )
    allowed = 8192 if shared else 2048
    positions = getattr(config, "max_position_embeddings", None) or wanted
    return min(wanted, positions, allowed)


def _connect(settings: ChatSettings, config: Any) -> Any:
    """Join the swarm and load the parts of the model that run here."""
    petals = importlib.import_module("petals")
    torch = importlib.import_module("torch")
    dtype = config.torch_dtype or torch.float32
    if settings.torch_dtype:
        dtype = getattr(torch, settings.torch_dtype)
    options: dict[str, Any] = {}
    if settings.initial_peers:
        options["initial_peers"] = settings.initial_peers
    if settings.adapter:
        options["active_adapter"] = settings.adapter
    if settings.dht_prefix:
        options["dht_prefix"] = settings.dht_prefix
    if config.vocab_size * config.hidden_size < SMALL_HEAD_PARAMETERS:
        torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return petals.AutoDistributedModelForCausalLM.from_pretrained(
        settings.model,
        torch_dtype=dtype,
        # True would import accelerate's hooks and torch._dynamo: seconds.
        low_cpu_mem_usage=False,
        # "auto" would import cpufeature; only half precisions gain from it on a CPU.
        use_chunked_forward=dtype != torch.float32,
        daemon_startup_timeout=15,
        max_retries=settings.max_retries,
        min_backoff=0.25,
        max_backoff=2,
        request_timeout=settings.request_timeout,
        connect_timeout=settings.connect_timeout,
        update_period=5 if settings.initial_peers else 30,
        ping_timeout=0.5 if settings.initial_peers else 2,
        **options,
    ).eval()
