from __future__ import annotations

import asyncio
import collections
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

pytest.importorskip("torch")

from openai_calls import until
from pydantic import SecretStr
from tiny_models import ANSWER, END, save_parrot, save_random, tokenizer_of

from domain.errors import ConfigurationError, FaultClass, ProviderError
from domain.message import Message
from domain.pricing import Usage
from resources.llm.providers.huggingface import HuggingFaceProvider
from resources.llm.providers.huggingface.chat import encode_chat
from resources.llm.providers.huggingface.model import LoadedModel
from resources.llm.providers.huggingface.work import Work
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.settings import EndpointSettings
from resources.llm.types import Request


@pytest.fixture(scope="module")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"huggingface/{save_parrot(tmp_path_factory.mktemp('parrot'))}"


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"huggingface/{save_random(tmp_path_factory.mktemp('noise'))}"


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[HuggingFaceProvider]:
    made = HuggingFaceProvider(None)
    yield made
    await made.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Work]]:
    """What the worker was given, batch by batch."""
    seen: list[list[Work]] = []
    generate = LoadedModel.generate

    def recorded(model: LoadedModel, batch: list[Work]) -> None:
        seen.append(batch)
        generate(model, batch)

    monkeypatch.setattr(LoadedModel, "generate", recorded)
    return seen


def ask(model: str, text: str = "hello", **changes: Any) -> Request:
    return Request(**{"model": model, "messages": (Message("user", text),), **changes})


async def fault_of(provider: HuggingFaceProvider, request: Request, timeout_s: float = 30.0) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.send(request, timeout_s)
    return caught.value


async def test_every_token_is_counted(provider: HuggingFaceProvider, parrot: str) -> None:
    answer = await provider.send(ask(parrot, "abc"), 30)
    # <|user|> a b c <|end|> <|assistant|>, then deli very <|end|>
    assert answer.usage == Usage(input_tokens=6, output_tokens=3)
    assert (answer.text, answer.finish_reason) == ("delivery", "stop")


async def test_the_bound_is_exact_once_the_model_is_loaded(provider: HuggingFaceProvider, parrot: str) -> None:
    request = ask(parrot, "naïve 東京")
    assert provider.input_token_bound(request) == byte_token_bound(request)
    answer = await provider.send(request, 30)
    assert provider.input_token_bound(request) == answer.usage.input_tokens
    assert provider.input_token_bound(ask(parrot, messages=())) > 0  # refused only when it is sent


async def test_calls_at_once_share_batches_and_keep_their_own_lengths(
    provider: HuggingFaceProvider, noise: str, batches: list[list[Work]]
) -> None:
    requests = [ask(noise, "y" * n, max_output_tokens=2 + n) for n in range(11)]
    alone = [await provider.send(request, 30) for request in requests]
    batches.clear()
    together = await asyncio.gather(*(provider.send(request, 30) for request in requests))
    assert [len(batch) for batch in batches] == [8, 3]
    assert together == alone
    assert [answer.usage.output_tokens for answer in together] == [2 + n for n in range(11)]
    assert len({answer.text for answer in together}) > 1


async def test_seeded_draws_do_not_depend_on_the_company(provider: HuggingFaceProvider, parrot: str) -> None:
    requests = [ask(parrot, "x" * n, temperature=3.0, seed=n) for n in range(24)]
    alone = [(await provider.send(request, 30)).text for request in requests]
    mixed = [*requests, ask(parrot, temperature=0.0), ask(parrot, temperature=9.0)]
    together = [answer.text for answer in await asyncio.gather(*(provider.send(request, 30) for request in mixed))]
    assert together[:24] == alone
    assert together[24] == "delivery"
    assert len(set(alone)) > 2


async def test_samples_of_one_seed_differ_and_repeat(provider: HuggingFaceProvider, parrot: str) -> None:
    requests = [ask(parrot, temperature=3.0, seed=1, sample=n) for n in range(16)]
    first = [answer.text for answer in await asyncio.gather(*(provider.send(request, 30) for request in requests))]
    again = [answer.text for answer in await asyncio.gather(*(provider.send(request, 30) for request in requests))]
    assert first == again
    assert len(set(first)) > 1


async def test_draws_follow_the_models_chances(provider: HuggingFaceProvider, parrot: str) -> None:
    requests = [ask(parrot, temperature=4.0, seed=n) for n in range(200)]
    answers = await asyncio.gather(*(provider.send(request, 60) for request in requests))
    said = collections.Counter(answer.text for answer in answers)
    # deli at exp(16.2/4), four numbers at exp(13/4) each, 260 others at exp(-16.2/4): 0.36, 0.16 each and 0.03 in all.
    assert 45 <= said["delivery"] <= 95
    assert all(12 <= said[number] <= 52 for number in ("one", "two", "three", "four"))


async def test_a_small_nucleus_leaves_the_likeliest(provider: HuggingFaceProvider, parrot: str) -> None:
    requests = [ask(parrot, temperature=4.0, top_p=0.2, seed=n) for n in range(16)]
    answers = await asyncio.gather(*(provider.send(request, 30) for request in requests))
    assert {answer.text for answer in answers} == {"delivery"}


@pytest.mark.parametrize(
    ("changes", "text", "finish", "tokens"),
    [
        ({"stop": ("ver",)}, "deli", "stop", 2),
        ({"stop": ("zzz", "live")}, "de", "stop", 2),
        ({"stop": ("zzz",)}, "delivery", "stop", 3),
        ({"max_output_tokens": 1}, "deli", "length", 1),
        ({"max_output_tokens": 2}, "delivery", "length", 2),
        ({"max_output_tokens": 3}, "delivery", "stop", 3),
    ],
)
async def test_ends_of_answers(
    provider: HuggingFaceProvider, parrot: str, changes: dict[str, Any], text: str, finish: str, tokens: int
) -> None:
    answer = await provider.send(ask(parrot, **changes), 30)
    assert (answer.text, answer.finish_reason, answer.usage.output_tokens) == (text, finish, tokens)


async def test_a_cancelled_call_stops_and_frees_the_worker(
    provider: HuggingFaceProvider, noise: str, batches: list[list[Work]]
) -> None:
    call = asyncio.create_task(provider.send(ask(noise, max_output_tokens=1000), 60))
    await until(lambda: bool(batches) and len(batches[0][0].generated) > 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await provider.send(ask(noise, max_output_tokens=1), 30)
    assert 2 < len(batches[0][0].generated) < 900


async def test_timeouts_tell_whether_the_call_had_its_turn(
    provider: HuggingFaceProvider, noise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.send(ask(noise, max_output_tokens=1), 30)
    batches: list[list[Work]] = []

    def never_done(_model: LoadedModel, batch: list[Work]) -> None:
        batches.append(batch)
        assert all(work.dropped.wait(60) for work in batch)

    monkeypatch.setattr(LoadedModel, "generate", never_done)
    slow = asyncio.create_task(fault_of(provider, ask(noise, max_output_tokens=1000), timeout_s=2.0))
    await until(lambda: bool(batches))
    behind = await fault_of(provider, ask(noise, max_output_tokens=5), timeout_s=0.05)
    assert (behind.fault, behind.never_sent) == (FaultClass.TIMEOUT, True)
    first = await slow
    assert (first.fault, first.never_sent) == (FaultClass.TIMEOUT, False)
    assert len(batches) == 1


@pytest.mark.parametrize("name", ["/nowhere/at/all", "acme/no-such-model", "no such name!"])
async def test_a_missing_model_is_named(provider: HuggingFaceProvider, name: str) -> None:
    error = await fault_of(provider, ask(f"huggingface/{name}"))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert name in error.problem
    assert "download" in str(error)


async def test_a_model_that_was_missing_is_found_once_it_is_there(
    provider: HuggingFaceProvider, tmp_path: Path
) -> None:
    request = ask(f"huggingface/{tmp_path / 'late'}")
    await fault_of(provider, request)
    save_parrot(tmp_path / "late")
    assert (await provider.send(request, 30)).text == "delivery"


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": {"n": 2}},
        {"response_schema": {"type": "object"}},
        {"max_output_tokens": 1024},
        {"messages": ()},
    ],
)
async def test_what_it_cannot_do_is_refused(
    provider: HuggingFaceProvider, parrot: str, changes: dict[str, Any], batches: list[list[Work]]
) -> None:
    error = await fault_of(provider, ask(parrot, **changes))
    assert (error.fault, error.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert batches == []


async def test_a_failure_of_torch_fails_the_batch_and_not_the_provider(
    provider: HuggingFaceProvider, parrot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.send(ask(parrot), 30)

    def out_of_memory(_model: LoadedModel, _batch: list[Work]) -> None:
        raise RuntimeError("no memory for canary-7f3a91")

    with monkeypatch.context() as patch:
        patch.setattr(LoadedModel, "generate", out_of_memory)
        error = await fault_of(provider, ask(parrot))
    assert error.fault is FaultClass.SERVER
    assert "canary" not in str(error)
    assert (await provider.send(ask(parrot), 30)).text == "delivery"


async def test_closing_fails_what_waits_and_frees_the_model(noise: str, batches: list[list[Work]]) -> None:
    provider = HuggingFaceProvider(EndpointSettings(options={"batch_size": 1}))
    calls = [asyncio.create_task(fault_of(provider, ask(noise, max_output_tokens=1000))) for _ in range(2)]
    await until(lambda: bool(batches) and bool(batches[0][0].generated))
    model = weakref.ref((await provider._models[noise.partition("/")[2]]).model)
    await provider.close()
    errors = [await call for call in calls]
    assert [(error.fault, error.never_sent) for error in errors] == [
        (FaultClass.CONNECTION, False),
        (FaultClass.CONNECTION, True),
    ]
    del calls, errors
    gc.collect()
    assert model() is None
    assert (await fault_of(provider, ask(noise))).never_sent


async def test_check_reaches_the_device_and_loads_nothing(provider: HuggingFaceProvider) -> None:
    await provider.check()
    assert provider._models == {}
    absent = HuggingFaceProvider(EndpointSettings(options={"device": "cuda:99"}))
    with pytest.raises(ProviderError, match="cuda:99"):
        await absent.check()
    await absent.close()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (EndpointSettings(options={"gpu": 1}), "options.gpu"),
        (EndpointSettings(options={"batch_size": 0}), "options.batch_size"),
        (EndpointSettings(base_url="http://127.0.0.1:1"), ""),
        (EndpointSettings(api_key=SecretStr("k")), ""),
    ],
)
def test_settings_that_cannot_work(settings: EndpointSettings, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HuggingFaceProvider(settings)
    assert caught.value.field == f"endpoints.huggingface.{field}".rstrip(".")


def test_without_torch_the_mend_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.llm.providers.huggingface.options.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"promptory\[huggingface\]"):
        HuggingFaceProvider(None)


def decoded(template: str | None, *messages: Message) -> str:
    tokenizer = tokenizer_of(template)
    return tokenizer.decode(encode_chat(tokenizer, messages))


def test_the_models_own_template_is_used() -> None:
    text = decoded(tokenizer_of().chat_template, Message("system", "be brief"), Message("user", "hi"))
    assert text == f"<|system|>be brief{END}<|user|>hi{END}{ANSWER}"


def test_without_a_template_a_plain_one_is_used() -> None:
    text = decoded(None, Message("system", "be brief"), Message("user", "hi"), Message("assistant", "ho"))
    assert text == "system: be brief\n\nuser: hi\n\nassistant: ho\n\nassistant:"


def test_a_template_without_a_system_role_gets_it_with_the_first_input() -> None:
    no_system = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template = no_system + "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    assert decoded(template, Message("system", "be brief"), Message("user", "hi")) == "[user]be brief\n\nhi"
    assert decoded(template, Message("system", "be brief")) == "[user]be brief"


def test_a_template_that_refuses_the_messages_is_an_invalid_request() -> None:
    with pytest.raises(ProviderError, match="chat template") as caught:
        decoded("{{ raise_exception('never') }}", Message("user", "hi"))
    assert caught.value.never_sent
