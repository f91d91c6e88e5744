"""What a model reads for a question: the conversation, without its oldest turns if it is long."""

from __future__ import annotations

from chat_answer import Answer
from chat_errors import ChatError
from chat_prompt import EncodedPrompt, PromptFormat, TemplateRefusedError
from context_window import dropped_turns, without_dropped


def prompt_for(answer: Answer, prompt_format: PromptFormat, max_tokens: int) -> EncodedPrompt:
    """Render the question so that it fits into a session, and count what was dropped.

    Raises ChatError (context_full, bad_request).
    """
    request = answer.request
    if request.prompt is not None:
        prompt = prompt_format.encode(request.prompt, raw=True)
    else:
        messages = request.messages
        dropped = dropped_turns(messages, prompt_format.count, max_tokens)
        prompt = _render(prompt_format, without_dropped(messages, dropped))
        if len(prompt.ids) >= max_tokens:  # the estimate was too low
            dropped = dropped_turns(messages, lambda _message: max_tokens, 1)
            prompt = _render(prompt_format, without_dropped(messages, dropped))
        answer.dropped_messages = dropped
    answer.prompt_tokens = len(prompt.ids)
    if not prompt.ids:
        raise ChatError("bad_request", "The prompt has no tokens for this model.")
    if len(prompt.ids) >= max_tokens:
        raise ChatError(
            "context_full",
            f"The question has {len(prompt.ids)} tokens and leaves no room for an answer:"
            f" a session holds {max_tokens}.",
        )
    return prompt


def _render(prompt_format: PromptFormat, messages: list[dict[str, str]]) -> EncodedPrompt:
    try:
        return prompt_format.encode(prompt_format.render(messages))
    except TemplateRefusedError as error:
        raise ChatError(
            "bad_request", f"messages is not accepted by the model's chat template: {error}"
        ) from error
