"""How a conversation becomes the tokens that a model reads."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_PLAIN_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
# Role tokens, line ends and the like: what a template writes around a message.
_TOKENS_AROUND = 8
_MAX_COUNTS = 20_000
_SAMPLE: list[Message] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]


class TemplateRefusedError(Exception):
    """The model's chat template does not take this conversation."""


@dataclass(frozen=True)
class EncodedPrompt:
    """A rendered conversation: its text, its tokens and where each token begins in the text."""

    text: str
    ids: list[int]
    starts: list[int] | None

    def index_at(self, position: int) -> int | None:
        """Return the index of the first token after `position`, if no token crosses it."""
        if position == len(self.text):
            return len(self.ids)
        if self.starts is None:
            return None
        index = bisect.bisect_left(self.starts, position)
        found = index < len(self.starts) and self.starts[index] == position
        return index if found else None


class PromptFormat:
    """Renders conversations for one tokenizer.

    With a chat template of its own, the tokenizer's is used. Without one, transformers 4.34
    would silently take a ChatML-like default that most such models never saw; instead:
    ChatML only if the vocabulary has its role tokens; the Llama 2 format for a model whose name
    says that it is a Llama 2 chat model; otherwise plain text, `User: ...` and `Assistant: ...`,
    where the answer ends at the next `User:`. `kind` names which: template, chatml, llama-2, plain.
    """

    def __init__(self, tokenizer: Any, model_name: str) -> None:
        self._tokenizer = tokenizer
        self.has_chat_template = bool(tokenizer.chat_template)
        self._template: str | None
        if self.has_chat_template:
            self.kind, self._template = "template", tokenizer.chat_template
        else:
            self.kind, self._template = _known_template(tokenizer, model_name)
        self.stop_strings: tuple[str, ...] = () if self._template else ("\nUser:", "\nSystem:")
        self.special_ids = _special_ids(tokenizer)
        self._counts: dict[str, int] = {}

    def render(self, messages: Sequence[Message]) -> str:
        """Return the conversation as text, up to where the answer begins."""
        if self._template is None:
            turns = [f"{_PLAIN_NAMES[m['role']]}: {m['content']}\n" for m in messages]
            return "".join(turns) + "Assistant:"
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self._template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        except Exception as error:  # templates raise whatever jinja and their authors like
            raise TemplateRefusedError(" ".join(str(error).split())[:200]) from error

    def encode(self, text: str, *, raw: bool = False) -> EncodedPrompt:
        """Tokenize a rendered conversation, or a `raw` text that is continued as it stands."""
        fast = bool(self._tokenizer.is_fast)
        encoded = self._tokenizer(
            text,
            # A template writes its own special tokens; the plain format has none.
            add_special_tokens=raw or self._template is None,
            return_offsets_mapping=fast,
        )
        starts = [start for start, _end in encoded["offset_mapping"]] if fast else None
        if starts is not None and starts != sorted(starts):
            starts = None  # a special token after the text, which has no place in it
        return EncodedPrompt(text, list(encoded["input_ids"]), starts)

    def count(self, message: Message) -> int:
        """Return about how many tokens a message takes, with what the format puts around it."""
        text = message["content"]
        cost = self._counts.get(text)
        if cost is None:
            if len(self._counts) >= _MAX_COUNTS:
                self._counts.clear()
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            cost = self._counts[text] = len(ids) + _TOKENS_AROUND
        return cost

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        if self._tokenizer.is_fast:  # transformers' way there inspects every token: 0.3 ms a call
            backend = self._tokenizer.backend_tokenizer
            return str(backend.decode(list(ids), skip_special_tokens=True))
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def token_text(self, token: int) -> str:
        """Return the text by which a special token is written in a rendered conversation."""
        return str(self._tokenizer.convert_ids_to_tokens(token))

    def stop_ids(self, eos: int | list[int] | None, *, raw: bool = False) -> list[int]:
        """Return the tokens that end an answer: end of text and the template's role tokens.

        A `raw` text, which no template has written, goes on to the end of text.
        """
        ids = {self._tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
        if self._template is not None and not raw:
            # A template that refuses this conversation still has its end of text.
            with contextlib.suppress(TemplateRefusedError):
                ids |= self.special_ids & set(self.encode(self.render(_SAMPLE)).ids)
        return sorted(token for token in ids if token is not None)


def _known_template(tokenizer: Any, model_name: str) -> tuple[str, str | None]:
    """Return the format's name and its template."""
    vocabulary = tokenizer.get_vocab()
    if "<|im_start|>" in vocabulary and "<|im_end|>" in vocabulary:
        return "chatml", CHATML
    name = model_name.lower()
    if "llama-2" in name and "chat" in name and "Llama" in type(tokenizer).__name__:
        return "llama-2", str(tokenizer.default_chat_template)
    return "plain", None


def _special_ids(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = {index for index, token in added.items() if getattr(token, "special", False)}
    return marked | set(tokenizer.all_special_ids)
