"""What is refused, as the official client sees it: status, code, field, what is accepted."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.api.conftest import Served
from torbiz_tui.api.app import MAX_BODY_BYTES
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import AnswerDone, TokenReceived

USER = {"role": "user", "content": "What is Petals?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def said_by(*messages: object) -> dict[str, object]:
    return {"messages": list(messages)}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "[] … at least one message"),
        ({"messages": "hello"}, "messages", "'hello'"),
        (said_by("hello"), "messages[0]", "an object with role and content"),
        (said_by({"role": "tool", "content": "x"}), "messages[0].role", "'tool' … developer, user"),
        (said_by({"role": "user"}), "messages[0].content", "null … a text"),
        (said_by({"role": "user", "content": [IMAGE]}), "messages[0].content[0].type", "image_url"),
        (said_by({"role": "user", "content": "\ud800"}), "messages[0].content", "Unicode"),
        (said_by(USER, {"role": "assistant", "content": "Well"}), "messages[1].role", "user"),
        (said_by({"role": "assistant", "content": "", "tool_calls": [TOOL]}, USER),
         "messages[0].tool_calls", "only null"),
        ({"temperature": 11}, "temperature", "11 … from 0 to 10"),
        ({"temperature": "hot"}, "temperature", "'hot'"),
        ({"temperature": True}, "temperature", "true"),
        ({"top_p": 0}, "top_p", "above 0, up to 1"),
        ({"max_tokens": 0}, "max_tokens", "0 … from 1 to 100000"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens", "a whole number"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "only one of"),
        ({"seed": -1}, "seed", "-1"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"stop": ["a", ""]}, "stop[1]", "1 to 200 characters"),
        ({"stop": 3}, "stop", "3"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only null without stream"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage",
         "true or false"),
        ({"n": 2}, "n", "only 1"),
        ({"n": True}, "n", "only 1"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "only 0"),
        ({"logprobs": True}, "logprobs", "only false"),
        ({"tools": [TOOL]}, "tools", "only []"),
        ({"response_format": {"type": "json_object"}}, "response_format", '{"type": "text"}'),
        ({"logit_bias": {"1": 100}}, "logit_bias", "only {}"),
        ({"top_k": 5}, "top_k", "not supported"),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_named(
    served: Served, fields: dict[str, Any], param: str, words: str
) -> None:
    body = {"model": "default", "messages": [USER], **fields}
    response = await served.post(
        "/chat/completions",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert error["type"] == "invalid_request_error"
    for word in words.split(" … "):
        assert word in error["message"]
    assert served.service.asked == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "logprobs": 3}, "logprobs"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
    ],
)
async def test_a_wrong_field_of_a_completion(
    served: Served, fields: dict[str, Any], param: str
) -> None:
    response = await served.post("/completions", json={"model": "default", **fields})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_null_is_as_if_it_were_left_out(served: Served) -> None:
    fields = dict.fromkeys(("n", "tools", "logprobs", "stop", "temperature", "top_k", "stream"))
    body = {"model": "default", "messages": [USER], **fields}
    assert (await served.post("/chat/completions", json=body)).status_code == 200


async def test_another_model_is_not_found(served: Served) -> None:
    client = served.client()
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
        )
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "'gpt-4o'" in caught.value.message
    assert "'torbiz-demo'" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-4o")
    response = await served.post("/chat/completions", json={"messages": [USER]})
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"model": NaN}', b"\xff\xfe", b"[1]", b'"text"', b"[" * 100_000]
)
async def test_what_is_no_json_object(served: Served, body: bytes) -> None:
    response = await served.post(
        "/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_json")


async def test_a_body_that_is_too_large(served: Served) -> None:
    body = b'{"model": "' + b"x" * MAX_BODY_BYTES + b'"}'
    response = await served.post(
        "/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


async def test_text_that_no_session_could_hold(served: Served) -> None:
    # 3.6 MB as it comes, and too long for a line to the runner once it is escaped.
    response = await served.post(
        "/completions", json={"model": "default", "prompt": "é" * 1_800_000}
    )
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert served.service.prompts == []


async def test_only_json_is_taken(served: Served) -> None:
    """A web page can send text/plain to another machine without asking it first."""
    response = await served.post(
        "/chat/completions", content=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("path", "status"), [("/embeddings", 404), ("/models", 405), ("/../x", 404)]
)
async def test_other_addresses(served: Served, path: str, status: int) -> None:
    response = await served.post(path, json={})
    assert (response.status_code, response.json()["error"]["code"]) == (status, "unknown_url")
    assert "/v1/chat/completions" in response.json()["error"]["message"]


FAILURES = [
    (
        NotServedError("Nobody serves it.", missing=((3, 5), (7, 8))),
        503,
        "missing_blocks",
        "3–4, 7",
    ),
    (TorbizError("The line is full.", code="busy"), 429, "busy", "The line is full."),
    (TorbizError("No word came.", code="timeout"), 504, "timeout", "No word came."),
    (TorbizError("Too long.", code="context_full"), 400, "context_length_exceeded", "Too long."),
    (TorbizError("It died.", why="SIGKILL.", code="runner_died"), 500, "runner_died", "SIGKILL."),
    (RuntimeError("secret"), 500, "internal", "RuntimeError"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("failure", "status", "code", "words"), FAILURES)
async def test_a_failure_before_the_first_token_has_a_status(
    served: Served, failure: Exception, status: int, code: str, words: str, stream: bool
) -> None:
    served.service.steps = [failure]
    body = {"model": "default", "messages": [USER], "stream": stream}
    response = await served.post("/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert words in error["message"]
    assert "secret" not in response.text
    assert ("retry-after" in response.headers) is (status == 429)


@pytest.mark.parametrize(("failure", "status", "code", "words"), FAILURES)
async def test_a_failure_in_the_middle_ends_the_stream(
    served: Served, failure: Exception, status: int, code: str, words: str
) -> None:
    served.service.steps = [TokenReceived("Petals "), failure]
    stream = await served.client().chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    pieces: list[str | None] = []
    with pytest.raises(openai.APIError, match=words) as caught:
        async for chunk in stream:
            pieces += [chunk.choices[0].delta.content]
    assert pieces == ["", "Petals "]
    assert caught.value.code == code


async def test_the_official_client_sees_its_own_errors(served: Served) -> None:
    client = served.client()
    hello: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
    served.service.steps = [TorbizError("The line is full.", code="busy")]
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="default", messages=hello)
    served.service.steps = [NotServedError("Nobody serves it.")]
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="default", messages=hello)
    assert caught.value.status_code == 503
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(model="default", messages=hello, temperature=99)
    assert wrong.value.param == "temperature"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_was_stopped_elsewhere_is_none(served: Served, stream: bool) -> None:
    served.service.steps = [AnswerDone("cancelled", 1, 0, 0, 0.0, 0.0)]
    body = {"model": "default", "messages": [USER], "stream": stream}
    response = await served.post("/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "cancelled")


async def test_an_answer_without_an_end_is_told(served: Served) -> None:
    served.service.steps = []
    response = await served.post("/chat/completions", json={"model": "default", "messages": [USER]})
    assert response.status_code == 500
    assert "broke off" in response.json()["error"]["message"]
