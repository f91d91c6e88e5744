"""Answers questions the ways that `benchmarks/ask.py` compares with; run with Petals' Python.

    reference.py bare|prefix|local MODEL [PEER]

bare: Petals' own `generate` in an inference session, with Petals' defaults. prefix: the whole
prefix through the swarm for every token. local: transformers alone. One JSON object a line on
stdin, {"messages", "new", "goes_on"}; on stdout {"type": "token"} at the first token and
{"type": "done", "text"} at the end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[2] / "runner_scripts"
sys.path.insert(0, str(SCRIPTS))


def tell(**event: Any) -> None:
    """Write an event to what stdout was before libraries could print to it."""
    os.write(OUT, json.dumps(event).encode() + b"\n")


class FirstToken:
    """A streamer that tells when the first token is there."""

    def __init__(self) -> None:
        self.puts = 0

    def put(self, _value: Any) -> None:
        """Take the prompt, then a token a time."""
        self.puts += 1
        if self.puts == 2:
            tell(type="token")

    def end(self) -> None:
        """Nothing is left to do."""


class Conversation:
    """A conversation's text as far as it was sent, to send only what is new."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.text = ""

    def new_ids(self, messages: list[dict[str, str]], *, goes_on: bool) -> list[int]:
        """Return the tokens of what `messages` add to what was said before."""
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        assert not goes_on or text.startswith(self.text)
        new = text[len(self.text) :] if goes_on else text
        self.text = text
        return list(self.tokenizer(new, add_special_tokens=False)["input_ids"])

    def add(self, tokens: Any) -> str:
        """Take the answer, and return its text."""
        text = str(
            self.tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        self.text += text
        return text


def swarm_model(folder: str, peer: str) -> Any:
    """The model through the swarm, as a program of Petals' users would load it."""
    import petals_compat  # type: ignore[import-not-found]

    petals_compat.apply("client")
    import petals  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]
    from model_source import derive_dht_prefix  # type: ignore[import-not-found]

    return petals.AutoDistributedModelForCausalLM.from_pretrained(
        folder,
        initial_peers=[peer],
        dht_prefix=derive_dht_prefix(folder),
        torch_dtype=torch.float32,
        # The default would need cpufeature, which is not among the pins.
        use_chunked_forward=False,
    ).eval()


def new_session(model: Any) -> Any:
    """An inference session as long as a server accepts by default."""
    from petals.client.inference_session import (  # type: ignore[import-not-found]
        InferenceSession,
    )

    return InferenceSession(model.transformer.h.sequence_manager, max_length=2048)


def main() -> None:
    """Answer until stdin ends."""
    kind, folder = sys.argv[1], sys.argv[2]
    import torch
    import transformers  # type: ignore[import-not-found]

    if kind == "local":
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, torch_dtype=torch.float32
        ).eval()
    else:
        model = swarm_model(folder, sys.argv[3])
    conversation = Conversation(transformers.AutoTokenizer.from_pretrained(folder))
    session: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        goes_on = bool(request.get("goes_on")) and kind == "bare"
        ids = conversation.new_ids(request["messages"], goes_on=goes_on)
        new = request["new"]
        greedy = {"do_sample": False, "max_new_tokens": new, "eos_token_id": None}
        inputs = torch.tensor([ids])
        with torch.inference_mode():
            if kind == "bare":
                if not goes_on:
                    if session is not None:
                        session.close()
                    session = new_session(model)
                output = model.generate(inputs, session=session, streamer=FirstToken(), **greedy)
                answer = output[0][-new:]
            elif kind == "local":
                output = model.generate(inputs, streamer=FirstToken(), **greedy)
                answer = output[0][-new:]
            else:
                for at in range(new):
                    best = model(inputs).logits[:, -1:].argmax(-1)
                    inputs = torch.cat([inputs, best], dim=1)
                    if at == 0:
                        tell(type="token")
                answer = inputs[0][-new:]
        tell(type="done", text=conversation.add(answer))


if __name__ == "__main__":
    OUT = os.dup(1)
    os.dup2(2, 1)
    main()
    os._exit(0)
