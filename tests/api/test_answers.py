"""The official client gets models, answers and streams."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
from openai.types.chat import ChatCompletionChunk

from tests.api.conftest import Served, serving_on_loopback
from tests.api.fakes import DONE, FakeService, said
from tests.private_swarms.peers import peer
from torbiz_tui.api.requests import ServedModel
from torbiz_tui.config import AskConfig
from torbiz_tui.inference.events import AnswerDone, GenerateOptions, Message, TokenReceived
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.known import KnownSwarms

QUESTION: openai.types.chat.ChatCompletionUserMessageParam = {
    "role": "user",
    "content": "What is Petals?",
}


async def test_the_served_model_is_listed(served: Served) -> None:
    client = served.client()
    models = [model async for model in client.models.list()]
    assert [model.id for model in models] == ["torbiz-demo"]
    assert (models[0].object, models[0].owned_by) == ("model", "torbiz-tui")
    assert (await client.models.retrieve("default")).id == "torbiz-demo"


async def test_the_private_swarm_that_answers_is_remembered(
    tmp_path: Path, service: FakeService
) -> None:
    known = KnownSwarms(Paths(tmp_path))
    async with serving_on_loopback(tmp_path, service, initial_peers=(peer(1),)) as served:
        client = served.client()
        await client.models.list()
        assert known.find("friends") is None
        await client.chat.completions.create(model="default", messages=[QUESTION])
    assert known.require("friends").peers == (peer(1),)


async def test_a_name_with_a_slash_and_a_folder_are_found(
    tmp_path: Path, service: FakeService
) -> None:
    model = ServedModel("owner/name", "/somewhere/name")
    async with serving_on_loopback(tmp_path, service, model=model) as served:
        client = served.client()
        assert (await client.models.retrieve("owner/name")).id == "owner/name"
        for name in ("owner/name", "/somewhere/name", "default"):
            answer = await client.chat.completions.create(model=name, messages=[QUESTION])
            assert answer.model == "owner/name"


async def test_a_chat_answer(served: Served) -> None:
    answer = await served.client().chat.completions.create(
        model="torbiz-demo",
        messages=[
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "Petals?"}]},
        ],
        max_completion_tokens=20,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["\n", "User:"],
        user="alice",
        metadata={"of": "nobody"},
        n=1,
        presence_penalty=0,
        response_format={"type": "text"},
    )  # fmt: skip
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Petals is a swarm. ")
    assert choice.finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (14, 3)
    assert answer.usage.total_tokens == 17
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 10
    assert served.service.asked == [
        (
            Message("system", "Be short."),
            Message("user", "Hello"),
            Message("assistant", "Hello!"),
            Message("user", "What is\nPetals?"),
        )
    ]
    assert served.service.options == [GenerateOptions(20, 0.5, 0.9, 7, ("\n", "User:"))]


async def test_what_is_left_out_comes_from_the_configuration(
    tmp_path: Path, service: FakeService
) -> None:
    defaults = AskConfig(max_new_tokens=33, temperature=0.7, top_p=0.8, seed=5, stop=("END",))
    async with serving_on_loopback(tmp_path, service, defaults=defaults) as served:
        client = served.client()
        await client.chat.completions.create(model="default", messages=[QUESTION])
        await client.completions.create(model="default", prompt="Once", max_tokens=2)
    assert service.options == [
        GenerateOptions(33, 0.7, 0.8, 5, ("END",)),
        GenerateOptions(2, 0.7, 0.8, 5, ("END",)),
    ]


async def test_a_chat_answer_comes_as_it_is_made(served: Served) -> None:
    served.service.steps = [TokenReceived("Petals "), None, TokenReceived("is."), DONE]
    stream = await served.client().chat.completions.create(
        model="torbiz-demo",
        messages=[QUESTION],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks: list[ChatCompletionChunk] = []
    async for chunk in stream:
        chunks.append(chunk)
        if chunk.choices and chunk.choices[0].delta.content == "Petals ":
            served.service.go_on.set()
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert [delta.role for delta in deltas] == ["assistant", None, None, None]
    assert [delta.content for delta in deltas] == ["", "Petals ", "is.", None]
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk.usage is None for chunk in chunks] == [True] * 4 + [False]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 17
    assert chunks[-1].choices == []


async def test_a_stream_has_no_usage_unless_it_is_asked_for(served: Served) -> None:
    response = await served.post(
        "/chat/completions",
        json={"model": "default", "messages": [QUESTION], "stream": True},
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "usage" not in response.text
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_completion_whole_and_as_a_stream(served: Served) -> None:
    served.service.steps = said("upon a time", AnswerDone("length", 1, 0, 3, 0.1, 20.0))
    client = served.client()
    whole = await client.completions.create(model="torbiz-demo", prompt="Once", max_tokens=3)
    assert (whole.object, whole.choices[0].text) == ("text_completion", "upon a time ")
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.total_tokens == 4
    stream = await client.completions.create(model="torbiz-demo", prompt=["Once"], stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    assert [choice.text for choice in choices] == ["upon ", "a ", "time ", ""]
    assert choices[-1].finish_reason == "length"
    assert served.service.prompts == ["Once", "Once"]


async def test_ids_are_unique_and_the_fingerprint_stays(served: Served) -> None:
    client = served.client()
    answers = [
        await client.chat.completions.create(model="default", messages=[QUESTION]) for _ in range(3)
    ]
    assert len({answer.id for answer in answers}) == 3
    assert len({answer.system_fingerprint for answer in answers}) == 1


async def test_the_turns_of_a_conversation_share_a_session(served: Served) -> None:
    client = served.client()
    beginning: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be short."},
        QUESTION,
    ]
    longer: list[openai.types.chat.ChatCompletionMessageParam] = [
        *beginning,
        {"role": "assistant", "content": "A swarm."},
        {"role": "user", "content": "And then?"},
    ]
    await client.chat.completions.create(model="default", messages=beginning)
    await client.chat.completions.create(model="default", messages=longer)
    await client.chat.completions.create(model="default", messages=longer, user="bob")
    await client.chat.completions.create(model="default", messages=[QUESTION])
    first, second, of_bob, without_system = served.service.conversations
    assert first == second
    assert len({first, of_bob, without_system}) == 3
    assert 0 < len(first) <= 200


async def test_two_clients_are_answered_at_once(served: Served) -> None:
    served.service.steps = [TokenReceived("One "), None, TokenReceived("two."), DONE]

    async def ask(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(
            model="default", messages=[QUESTION], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    asking = [asyncio.create_task(ask(served.client())) for _ in range(2)]
    for _ in asking:
        await served.service.wait_waiting()
    served.service.go_on.set()
    assert await asyncio.gather(*asking) == ["One two."] * 2


def test_the_synchronous_client_too(tmp_path: Path) -> None:
    """The blocking client needs a thread beside the server's loop."""

    def talk(url: str) -> tuple[str | None, list[str | None]]:
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
            whole = client.chat.completions.create(model="default", messages=[QUESTION])
            stream = client.chat.completions.create(
                model="default", messages=[QUESTION], stream=True
            )
            return (
                whole.choices[0].message.content,
                [chunk.choices[0].delta.content for chunk in stream],
            )

    async def run() -> tuple[str | None, list[str | None]]:
        async with serving_on_loopback(tmp_path, FakeService()) as served:
            return await asyncio.to_thread(talk, served.url)

    whole, pieces = asyncio.run(run())
    assert whole == "Petals is a swarm. "
    assert "".join(piece or "" for piece in pieces) == whole
