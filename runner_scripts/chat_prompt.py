"""How a conversation becomes the tokens that a model reads."""

from __future__ import annotations

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
        if self.starts is None:
            return None
        for index, start in enumerate(self.starts):
            if start >= position:
                return index if start == position else None
        return None


class PromptFormat:
    """Renders conversations for one tokenizer.

    With a chat template of its own, the tokenizer's is used. Without one, transformers 4.34
    would silently take a ChatML-like default that most such models never saw; instead:
    ChatML only if the vocabulary has its role tokens; the Llama 2 format for a model whose name
    says that it is a Llama 2 chat model; otherwise plain text, `User: ...` and `Assistant: ...`,
    where the answer ends at the next `User:`.
    """

    def __init__(self, tokenizer: Any, model_name: str) -> None:
        self._tokenizer = tokenizer
        self.has_chat_template = bool(tokenizer.chat_template)
        self._template: str | None = tokenizer.chat_template or _known_template(
            tokenizer, model_name
        )
        self.stop_strings: tuple[str, ...] = () if self._template else ("\nUser:", "\nSystem:")
        self.special_ids = _special_ids(tokenizer)

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

    def encode(self, text: str) -> EncodedPrompt:
        """Tokenize a rendered conversation."""
        fast = bool(self._tokenizer.is_fast)
        encoded = self._tokenizer(
            text,
            # A template writes its own special tokens; the plain format has none.
            add_special_tokens=self._template is None,
            return_offsets_mapping=fast,
        )
        starts = [start for start, _end in encoded["offset_mapping"]] if fast else None
        return EncodedPrompt(text, list(encoded["input_ids"]), starts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def token_text(self, token: int) -> str:
        """Return the text by which a special token is written in a rendered conversation."""
        return str(self._tokenizer.convert_ids_to_tokens(token))

    def stop_ids(self, eos: int | list[int] | None) -> list[int]:
        """Return the tokens that end an answer: end of text and the template's role tokens."""
        ids = {self._tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
        if self._template is not None:
            # A template that refuses this conversation still has its end of text.
            with contextlib.suppress(TemplateRefusedError):
                ids |= self.special_ids & set(self.encode(self.render(_SAMPLE)).ids)
        return sorted(token for token in ids if token is not None)


def _known_template(tokenizer: Any, model_name: str) -> str | None:
    vocabulary = tokenizer.get_vocab()
    if "<|im_start|>" in vocabulary and "<|im_end|>" in vocabulary:
        return CHATML
    name = model_name.lower()
    if "llama-2" in name and "chat" in name and "Llama" in type(tokenizer).__name__:
        return str(tokenizer.default_chat_template)
    return None


def _special_ids(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = {index for index, token in added.items() if getattr(token, "special", False)}
    return marked | set(tokenizer.all_special_ids)
