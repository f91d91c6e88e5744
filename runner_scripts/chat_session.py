"""The model on the swarm: one inference session, reused from turn to turn."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from chat_answer import Answer
from chat_errors import ChatError, as_ranges, missing_blocks
from chat_prompt import EncodedPrompt, PromptFormat, TemplateRefusedError
from log_lines import runner_logger
from model_source import hub_token
from session_repairs import repair_sessions
from token_stream import TextAssembler

logger = runner_logger()

# Below this, handing the output layer's work to other threads costs more than it saves, and much
# more when the machine is busy.
SMALL_HEAD_PARAMETERS = 16_000_000


@dataclass(frozen=True)
class ChatSettings:
    """What the chat runner's options say about the swarm and its sessions."""

    model: str
    dht_prefix: str | None
    initial_peers: list[str]
    torch_dtype: str | None
    max_session_tokens: int
    request_timeout: float
    connect_timeout: float
    max_retries: int


class SwarmModel:
    """A causal language model whose blocks are served by a swarm."""

    def __init__(self, settings: ChatSettings, config: Any, prompt_format: PromptFormat) -> None:
        self._settings = settings
        self._format = prompt_format
        self._session: Any = None
        self._session_text = ""  # what the session's tokens say, as the person saw it
        self._model = _connect(settings, config)
        self._blocks = self._model.transformer.h.sequence_manager
        repair_sessions(self._blocks.state.p2p)
        self.num_blocks = len(self._blocks)
        self.max_tokens = min(
            settings.max_session_tokens,
            getattr(config, "max_position_embeddings", None) or settings.max_session_tokens,
        )
        generation_eos = getattr(self._model.generation_config, "eos_token_id", None)
        self._stop_ids = prompt_format.stop_ids(generation_eos or config.eos_token_id)
        # For a tokenizer without an end of text, any token does: nothing is ever padded.
        self._pad_id = self._stop_ids[0] if self._stop_ids else 0

    def check_route(self) -> None:
        """Raise ChatError (missing_blocks) unless every block is served by somebody online."""
        data_structures = importlib.import_module("petals.data_structures")
        records = importlib.import_module("petals.utils.dht")
        infos = records.get_remote_module_infos(
            self._blocks.dht, self._blocks.block_uids, latest=True
        )
        online = data_structures.ServerState.ONLINE
        spans = records.compute_spans(infos, min_state=online).values()
        served = {index for span in spans for index in range(span.start, span.end)}
        missing = [index for index in range(self.num_blocks) if index not in served]
        if missing:
            raise missing_blocks(as_ranges(missing), self.num_blocks)

    def prepare_route(self) -> None:
        """Get what the first question would otherwise wait for; failures come up again then."""
        try:
            self._blocks.make_sequence(mode="min_latency")
            _ = self._blocks.rpc_info
        except Exception as error:
            logger.warning("The route is not ready yet: %r", error)

    def generate(self, answer: Answer) -> str:
        """Answer, delivering text as it comes; return the finish reason.

        When a server fails, the session is replaced and goes on where the answer stood: Petals
        2.2.0 cannot replace a server within a session.
        """
        request = answer.request
        try:
            prompt = self._format.encode(self._format.render(request.messages))
        except TemplateRefusedError as error:
            raise ChatError(
                "bad_request", f"messages is not accepted by the model's chat template: {error}"
            ) from error
        answer.prompt_tokens = len(prompt.ids)
        room = self.max_tokens - len(prompt.ids)
        if room < 1:
            self.discard_session()
            raise ChatError(
                "context_full",
                f"The conversation has {len(prompt.ids)} tokens and leaves no room for an answer:"
                f" a session holds {self.max_tokens}. Start a new conversation.",
            )
        limit = min(request.max_new_tokens, room)
        assembler = TextAssembler(self._format.decode, self._format.stop_strings)
        torch = importlib.import_module("torch")
        torch.manual_seed(request.seed) if request.seed is not None else torch.seed()
        shown = _Shown(answer, assembler)
        self._generate_with_retries(answer, prompt, limit, shown)
        shown.deliver(assembler.finish() if not assembler.stopped else "")
        finish_reason = self._finish_reason(answer, assembler, limit)
        self._remember(answer, prompt, shown)
        return finish_reason

    def _generate_with_retries(
        self, answer: Answer, prompt: EncodedPrompt, limit: int, shown: _Shown
    ) -> None:
        failing_since: float | None = None
        for attempt in range(self._settings.max_retries + 1):
            done_before = len(answer.tokens)
            try:
                if attempt:
                    self._blocks._update()  # a failed server is banned there for some seconds
                    self.check_route()
                self._run_session(answer, prompt, limit, shown)
                return
            except Exception as error:
                self.discard_session()
                now = time.monotonic()
                if failing_since is None or len(answer.tokens) > done_before:
                    failing_since = now
                # Servers that let every attempt run into its timeout would take minutes.
                too_long = now - failing_since > 2 * self._settings.request_timeout
                stop = answer.cancelled.is_set()
                if not stop and (too_long or attempt == self._settings.max_retries):
                    raise
                delay = self._blocks.get_retry_delay(attempt)
                logger.warning(
                    "The answer was interrupted after %d tokens (retry in %.2f s): %r",
                    len(answer.tokens),
                    delay,
                    error,
                )
                if stop or answer.cancelled.wait(delay):
                    return

    def _run_session(
        self, answer: Answer, prompt: EncodedPrompt, limit: int, shown: _Shown
    ) -> None:
        torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        request = answer.request
        new_ids = self._continue_session(prompt) if not answer.tokens else None
        if new_ids is None:
            self.discard_session()
            self._session = importlib.import_module(
                "petals.client.inference_session"
            ).InferenceSession(self._blocks, max_length=self.max_tokens)
            new_ids = prompt.ids + answer.tokens
        answer.reused_tokens = 0 if answer.tokens else self._session.position
        sampling: dict[str, Any] = {"do_sample": False}
        if request.temperature > 0:
            sampling = {"do_sample": True, "top_k": 0, "top_p": request.top_p}
            sampling["temperature"] = request.temperature
        self._model.generate(
            torch.tensor([new_ids]),
            session=self._session,
            generation_config=transformers.GenerationConfig(
                max_new_tokens=limit - len(answer.tokens),
                eos_token_id=self._stop_ids or None,
                pad_token_id=self._pad_id,
                **sampling,
            ),
            streamer=_Streamer(shown),
            stopping_criteria=transformers.StoppingCriteriaList([shown.should_stop]),
        )

    def _continue_session(self, prompt: EncodedPrompt) -> list[int] | None:
        """Return the tokens to send if the session already holds the conversation's beginning.

        Its tokens are compared first. Models also write a text with other tokens than the
        tokenizer would; then the text decides, at a boundary between tokens.
        """
        if self._session is None or self._session.output_ids is None:
            return None
        held: list[int] = self._session.output_ids[0].tolist()
        rest: list[int] = []
        if prompt.ids[: len(held)] == held:
            rest = prompt.ids[len(held) :]
        elif prompt.text.startswith(self._session_text):
            index = prompt.index_at(len(self._session_text))
            rest = prompt.ids[index:] if index is not None else []
        # The room was computed for the tokenizer's tokens; the model's own may be more.
        fits = len(held) + len(rest) < self.max_tokens
        return rest if rest and fits else None

    def _finish_reason(self, answer: Answer, assembler: TextAssembler, limit: int) -> str:
        if assembler.stopped or (answer.tokens and answer.tokens[-1] in self._stop_ids):
            return "stop"
        if len(answer.tokens) >= limit:
            return "length"
        return "cancelled"

    def _remember(self, answer: Answer, prompt: EncodedPrompt, shown: _Shown) -> None:
        """Note what the session holds, or give it up if the person saw something else."""
        if self._session is None:
            return
        if shown.withheld:
            self.discard_session()
            return
        self._session_text = prompt.text + shown.text
        if answer.tokens and answer.tokens[-1] in self._stop_ids:
            self._session_text += self._format.token_text(answer.tokens[-1])

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has a chat template of its own."""
        return self._format.has_chat_template

    @property
    def has_session(self) -> bool:
        """Whether servers hold a cache for us."""
        return self._session is not None

    def discard_session(self, wait_s: float = 0) -> None:
        """Close the session without waiting for servers that may not answer any more."""
        session, self._session, self._session_text = self._session, None, ""
        if session is None:
            return
        closing = threading.Thread(target=_close_quietly, args=(session,), daemon=True)
        closing.start()
        if wait_s:
            closing.join(wait_s)

    def close(self) -> None:
        """Close the session, the sequence manager and the DHT."""
        self.discard_session(wait_s=1)
        self._blocks._thread.shutdown(timeout=1)
        self._blocks.dht.shutdown()
        # hivemind's finalizers want an event loop and print tracebacks without one: never freed.
        _closed.append(self)


_closed: list[SwarmModel] = []


class _Shown:
    """What of an answer the person has seen."""

    def __init__(self, answer: Answer, assembler: TextAssembler) -> None:
        self._answer = answer
        self._assembler = assembler
        self._lost = False
        self.text = ""

    def add_token(self, token: int) -> None:
        now = time.monotonic()
        if self._answer.first_token_at is None:
            self._answer.first_token_at = now
        self._answer.last_token_at = now
        self._answer.tokens.append(token)
        self.deliver(self._assembler.add(token))

    def deliver(self, text: str) -> None:
        if text and self._answer.deliver(text):
            self.text += text
        elif text:
            self._lost = True

    def should_stop(self, *_arguments: Any, **_named: Any) -> bool:
        return self._answer.cancelled.is_set() or self._assembler.stopped

    @property
    def withheld(self) -> bool:
        return self._lost or self._assembler.stopped or not self._assembler.is_complete


class _Streamer:
    """What transformers calls with each token; the first call brings the prompt."""

    def __init__(self, shown: _Shown) -> None:
        self._shown = shown
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            self._shown.add_token(int(value.reshape(-1)[0]))
        self._prompt_seen = True

    def end(self) -> None:
        pass


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
    if settings.dht_prefix:
        options["dht_prefix"] = settings.dht_prefix
    if token := hub_token():
        options["token"] = token
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
        # A session is replaced as a whole, see SwarmModel.generate; by default Petals would
        # retry forever, with a session that cannot recover.
        max_retries=1,
        min_backoff=0.25,
        max_backoff=2,
        request_timeout=settings.request_timeout,
        connect_timeout=settings.connect_timeout,
        update_period=5 if settings.initial_peers else 30,
        ping_timeout=0.5 if settings.initial_peers else 2,
        **options,
    ).eval()


def _close_quietly(session: Any) -> None:
    try:
        session.close()
    except Exception as error:
        logger.info("Closing a session failed: %r", error)
