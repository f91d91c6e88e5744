"""The model in this process: all blocks are computed here, and no swarm is asked."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from answer_prompt import prompt_for
from chat_answer import Answer, Route
from chat_errors import ChatError
from chat_prompt import EncodedPrompt, PromptFormat
from held_tokens import HeldText
from local_memory import free_memory
from local_weights import find_weights
from log_lines import runner_logger
from shown_answer import ShownAnswer
from token_stream import TextAssembler

logger = runner_logger()

MAX_CONVERSATIONS = 4
# Below this, handing work to other threads costs more than it saves.
SMALL_MODEL_VALUES = 16_000_000
# What a step takes beside weights and cache: states, attention, the logits.
WORKING_BYTES = 256 * 2**20
# The next question waits for the step that runs when this one is cancelled, so a long prompt is
# computed in steps of about this. Shorter ones would leave much of the processor unused.
STEP_S = 0.2
MIN_STEP_TOKENS, MAX_STEP_TOKENS = 64, 512
# Where the positions are in a layer's cached keys and values (transformers 4.34).
_POSITION_AXES = {"bloom": (2, 1), "falcon": (2, 2), "llama": (2, 2)}


@dataclass
class _Conversation:
    """The tokens that were computed for a conversation, with their keys and values."""

    ids: list[int] = field(default_factory=list)
    cache: Any = None
    computed: int = 0  # tokens in the cache: the last one may have been produced, not read
    held: HeldText = field(default_factory=HeldText)
    used_at: float = field(default_factory=time.monotonic)


class LocalModel:
    """A causal language model in this machine's memory.

    `folder` is where it lies. Of files `to_come` the bytes are known; `fetch` gets them once it is
    clear that the model fits, and returns the folder. `pickled`: files that can run code are
    loaded where there are no others.
    """

    def __init__(
        self,
        folder: str,
        config: Any,
        prompt_format: PromptFormat,
        torch_dtype: str | None,
        max_session_tokens: int,
        *,
        to_come: Mapping[str, int] | None = None,
        fetch: Callable[[], str] | None = None,
        pickled: bool = False,
    ) -> None:
        self._format = prompt_format
        self._device = _device()
        dtype = _dtype(config, torch_dtype, self._device)
        self.num_blocks = int(config.num_hidden_layers)
        self.max_tokens = min(
            max_session_tokens,
            getattr(config, "max_position_embeddings", None) or max_session_tokens,
        )
        weights = find_weights(
            folder,
            _itemsize(config.torch_dtype or torch.float32),
            to_come or {},
            pickled=pickled,
        )
        self._most_conversations = _conversations_that_fit(
            weights.values, config, dtype, self.max_tokens, self._device
        )
        if weights.values < SMALL_MODEL_VALUES:
            torch.set_num_threads(1)
        if fetch is not None:
            folder = fetch()
        self._model = _load(folder, dtype, pickled=pickled).to(self._device).eval()
        eos = getattr(self._model.generation_config, "eos_token_id", None) or config.eos_token_id
        self._stop_ids = prompt_format.stop_ids(eos)
        self._raw_stop_ids = prompt_format.stop_ids(eos, raw=True)
        self._axes = _POSITION_AXES[config.model_type]
        self._conversations: dict[str, _Conversation] = {}
        self._step_tokens = MIN_STEP_TOKENS
        self.prompt_format = prompt_format.kind

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has a chat template of its own."""
        return self._format.has_chat_template

    @property
    def has_session(self) -> bool:
        """Whether keys and values of a conversation are kept."""
        return bool(self._conversations)

    def look_up_route(self) -> Route:
        """Return the route that needs no server."""
        return Route(self.num_blocks, local=True)

    def prepare_route(self) -> None:
        """Nothing is to be prepared."""

    def release(self, conversation: str) -> None:
        """Give up a conversation's keys and values."""
        self._conversations.pop(conversation, None)

    def close_idle(self, older_than_s: float) -> None:
        """Give up the keys and values of conversations without a question for that long."""
        limit = time.monotonic() - older_than_s
        for name, conversation in list(self._conversations.items()):
            if conversation.used_at <= limit:
                del self._conversations[name]

    def close(self) -> None:
        """Give up all keys and values."""
        self._conversations.clear()

    def generate(self, answer: Answer) -> str:
        """Answer, delivering text as it comes; return the finish reason.

        Raises ChatError. `answer.cancelled` ends it after the step that runs.
        """
        request = answer.request
        prompt = prompt_for(answer, self._format, self.max_tokens)
        raw = request.prompt is not None
        stop_ids = self._raw_stop_ids if raw else self._stop_ids
        stop_texts = () if raw else self._format.stop_strings
        assembler = TextAssembler(self._format.decode, (*stop_texts, *request.stop))
        shown = ShownAnswer(answer, assembler)
        torch.manual_seed(request.seed) if request.seed is not None else torch.seed()
        conversation = self._take(request.conversation)
        try:
            self._go_to(conversation, prompt)
            answer.tell_started(conversation.computed, self.look_up_route())
            held = len(conversation.ids)
            limit = min(request.max_new_tokens, self.max_tokens - held)
            with torch.inference_mode():
                self._run(answer, conversation, limit, stop_ids, shown)
        except BaseException as error:
            self.release(request.conversation)
            if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
                raise ChatError("busy", "This machine has no memory left for it.") from error
            raise
        conversation.used_at = time.monotonic()
        shown.finish()
        self._remember(conversation, prompt, held, shown, stop_ids)
        return shown.finish_reason(stop_ids, limit)

    def _take(self, name: str) -> _Conversation:
        conversation = self._conversations.pop(name, None) or _Conversation()
        while len(self._conversations) >= self._most_conversations:
            del self._conversations[next(iter(self._conversations))]
        self._conversations[name] = conversation  # the last one used is the last to go
        return conversation

    def _go_to(self, conversation: _Conversation, prompt: EncodedPrompt) -> None:
        """Keep of a conversation what the prompt begins with, and add the rest to be read."""
        continuation = conversation.held.continuation(conversation.ids, prompt, self.max_tokens)
        conversation.held.keep(continuation.keep)
        conversation.ids = conversation.ids[: continuation.keep] + continuation.rest
        # The last token is read in any case: only then it is known what follows.
        self._cut(conversation, min(continuation.keep, len(conversation.ids) - 1))

    def _cut(self, conversation: _Conversation, length: int) -> None:
        if length >= conversation.computed:
            return
        conversation.computed = length
        if length == 0:
            conversation.cache = None
            return
        keys, values = self._axes
        conversation.cache = tuple(
            (_beginning(key, keys, length), _beginning(value, values, length))
            for key, value in conversation.cache
        )

    def _run(
        self,
        answer: Answer,
        conversation: _Conversation,
        limit: int,
        stop_ids: list[int],
        shown: ShownAnswer,
    ) -> None:
        request = answer.request
        warpers = transformers.LogitsProcessorList()
        if request.temperature > 0 and request.temperature != 1:
            warpers.append(transformers.TemperatureLogitsWarper(request.temperature))
        if request.temperature > 0 and request.top_p < 1:
            warpers.append(transformers.TopPLogitsWarper(request.top_p))
        for _ in range(limit):
            states = self._read(answer, conversation)
            if states is None:
                return
            # Only the last token's: for all of a long prompt they would take gigabytes.
            logits = self._model.get_output_embeddings()(states[:, -1:])[:, -1].float()
            if request.temperature > 0:
                scores = warpers(None, logits)
                token = int(torch.multinomial(torch.softmax(scores, dim=-1), 1))
            else:
                token = int(logits.argmax(dim=-1))
            conversation.ids.append(token)
            shown.add_token(token)
            if token in stop_ids or shown.should_stop():
                return

    def _read(self, answer: Answer, conversation: _Conversation) -> Any:
        """Compute what was not yet, step by step; None when the answer was cancelled."""
        states = None
        while conversation.computed < len(conversation.ids):
            if answer.cancelled.is_set():
                return None
            started = time.monotonic()
            step = conversation.ids[conversation.computed :][: self._step_tokens]
            output = self._model.base_model(
                torch.tensor([step], device=self._device),
                past_key_values=conversation.cache,
                use_cache=True,
                return_dict=True,
            )
            states, conversation.cache = output.last_hidden_state, output.past_key_values
            conversation.computed += len(step)
            if len(step) == self._step_tokens:
                self._adapt_step(time.monotonic() - started)
        return states

    def _adapt_step(self, seconds: float) -> None:
        if seconds > 2 * STEP_S:
            self._step_tokens = max(MIN_STEP_TOKENS, self._step_tokens // 2)
        elif seconds < STEP_S:
            self._step_tokens = min(MAX_STEP_TOKENS, self._step_tokens * 2)

    def _remember(
        self,
        conversation: _Conversation,
        prompt: EncodedPrompt,
        prompt_end: int,
        shown: ShownAnswer,
        stop_ids: list[int],
    ) -> None:
        """Note what the tokens say, as far as the person has seen it."""
        if conversation.computed < prompt_end:  # cancelled while the prompt was read
            conversation.ids = conversation.ids[: conversation.computed]
            return
        conversation.held.add(prompt.text, prompt_end)
        if shown.withheld:
            return
        text = prompt.text + shown.text
        if shown.tokens and shown.tokens[-1] in stop_ids:
            text += self._format.token_text(shown.tokens[-1])
        conversation.held.add(text, len(conversation.ids))


def _beginning(tensor: Any, axis: int, length: int) -> Any:
    # A copy, so that the memory of what follows is free.
    return tensor.narrow(axis, 0, length).clone(memory_format=torch.contiguous_format)


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(config: Any, wanted: str | None, device: str) -> Any:
    """Half precision where it is faster, on a GPU; a CPU has no gain from it."""
    if wanted:
        return getattr(torch, wanted)
    return torch.float32 if device == "cpu" else config.torch_dtype or torch.float16


def _itemsize(dtype: Any) -> int:
    return int(torch.empty(0, dtype=dtype).element_size())


def _conversations_that_fit(
    values: int, config: Any, dtype: Any, max_tokens: int, device: str
) -> int:
    """Return how many conversations can be kept; raises ChatError (does_not_fit)."""
    size = _itemsize(dtype)
    weights, cache = values * size, _cache_values(config) * max_tokens * size
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_memory()
    needed = weights + cache + WORKING_BYTES
    logger.info("The model takes %.2f GiB, %.2f GiB are free", needed / 2**30, free / 2**30)
    if needed > free:
        where = "The GPU" if device == "cuda" else "This machine"
        raise ChatError(
            "does_not_fit",
            f"{where} has {free / 2**30:.1f} GiB of memory free, and the model takes"
            f" {needed / 2**30:.1f} GiB: {weights / 2**30:.1f} for its weights,"
            f" {cache / 2**30:.1f} for a conversation of {max_tokens} tokens,"
            f" {WORKING_BYTES / 2**30:.1f} to work with.",
        )
    more = (free - needed) // 2 // max(1, cache)
    return int(min(MAX_CONVERSATIONS, 1 + more))


def _cache_values(config: Any) -> int:
    """Return how many keys and values a token takes."""
    heads = kept = int(config.num_attention_heads)
    if config.model_type == "llama":
        kept = getattr(config, "num_key_value_heads", None) or heads
    elif config.model_type == "falcon" and not config.new_decoder_architecture:
        # The new one repeats what its heads share (transformers 4.34).
        kept = 1 if config.multi_query else heads
    return 2 * int(config.num_hidden_layers) * kept * (int(config.hidden_size) // heads)


def _load(model: str, dtype: Any, *, pickled: bool) -> Any:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with _without_initialisation():
        loaded, facts = transformers.AutoModelForCausalLM.from_pretrained(
            model,
            torch_dtype=dtype,
            use_safetensors=None if pickled else True,  # None: where there are some
            # True would import accelerate's hooks and torch._dynamo: seconds.
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    if facts["missing_keys"]:
        names = ", ".join(sorted(facts["missing_keys"])[:3])
        raise ChatError("model_not_found", f"The checkpoint of {model} lacks weights: {names}.")
    return loaded


@contextlib.contextmanager
def _without_initialisation() -> Iterator[None]:
    """Do not draw random weights that the checkpoint's replace at once: a second per billion."""
    names = ("kaiming_uniform_", "normal_", "uniform_", "xavier_uniform_", "ones_", "zeros_")
    originals = {name: getattr(torch.nn.init, name) for name in names}
    try:
        for name in names:
            setattr(torch.nn.init, name, lambda tensor, *_args, **_named: tensor)
        yield
    finally:
        for name, original in originals.items():
            setattr(torch.nn.init, name, original)
