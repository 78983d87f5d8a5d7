from __future__ import annotations

import statistics
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offline_prompts import TEAMS, send, step

from domain.contracts import (
    ChoiceContract,
    JsonContract,
    NumberContract,
    OutputContract,
    TextContract,
    contract_section,
)
from domain.errors import ProviderError
from domain.message import Message
from domain.rendering import render_step
from resources.llm.providers.offline import OfflineProvider
from resources.llm.providers.offline.wordpieces import count_tokens, cut_to_tokens
from resources.llm.types import Request

odd_text = st.text(max_size=60) | st.sampled_from(
    ["", "\x00", "_", "£_", "9" * 400, "٣٤ ²", "\u202e", "ﷺ", "\ud800", "-", "1,000.5.2"]
)
schemas = st.sampled_from(
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": True, "b": {"enum": []}, "c": {"const": {"d": [1]}}}},
        {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 3}}},
        {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(x|[0-9]+)$"}, "t": {"type": "array"}}},
        {"type": "object", "properties": {"me": {"$ref": "#"}, "x": {"anyOf": [True, {"$ref": "#"}]}}},
        {"type": "object", "anyOf": [{"required": ["a"]}], "properties": {"a": {"type": ["string", "number"]}}},
    ]
)
contracts = st.one_of(
    st.builds(ChoiceContract, choices=st.dictionaries(st.sampled_from("abcdef"), st.just("x y"), min_size=2)),
    st.builds(NumberContract, reasoning=st.booleans()),
    st.builds(TextContract, reasoning=st.booleans()),
    schemas.map(lambda schema: JsonContract.model_validate({"schema": schema})),
)
shown_texts = st.lists(st.tuples(odd_text, odd_text | st.sampled_from(["a", "3", "{}", '{"n": 4}'])), max_size=5)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contract=contracts, shown=shown_texts, query=odd_text)
async def test_any_text_gets_the_same_answer_twice_or_a_refusal(
    contract: OutputContract, shown: list[tuple[str, str]], query: str
) -> None:
    messages = [Message("system", contract_section(contract))]
    for text, answer in shown:
        messages += [Message("user", text), Message("assistant", answer)]
    request = Request(model="offline/nearest", messages=(*messages, Message("user", query)), max_output_tokens=64)
    warm = OfflineProvider()
    answers = []
    for provider in (warm, warm, OfflineProvider()):
        try:
            answers.append(await provider.send(request, 5))
        except ProviderError as error:
            assert isinstance(contract, TextContract)
            answers.append(str(error))
    assert answers[0] == answers[1] == answers[2]


async def test_usage_counts_what_was_sent_and_said() -> None:
    answer = await send(step(TEAMS), "password")
    messages = render_step(step(TEAMS), {"message": "password"})
    assert answer.usage.input_tokens == sum(count_tokens(message.content) + 4 for message in messages) + 3
    assert answer.usage.output_tokens == count_tokens("access") == 1
    assert count_tokens("unbelievable, 東京!") == 5


@given(st.text(max_size=80), st.integers(0, 20))
def test_cutting_keeps_a_start_within_the_limit(text: str, limit: int) -> None:
    kept, was_cut = cut_to_tokens(text, limit)
    assert count_tokens(kept) == min(limit, count_tokens(text))
    assert text.startswith(kept)
    assert was_cut == (count_tokens(text) > limit)


async def test_stop_sequences_end_the_answer() -> None:
    prompt = step(TextContract(), ("q", "first line\nsecond"))
    assert (await send(prompt, "q", stop=("\n",))).text == "first line"


async def test_readers_of_old_prompts_are_let_go() -> None:
    provider = OfflineProvider()
    for at in range(100):
        messages = render_step(step(TEAMS, system=f"prompt {at}"), {"message": "x"})
        await provider.send(Request(model="offline/nearest", messages=messages), 5)
    assert len(provider._readers) == 32


async def test_an_answer_takes_under_three_milliseconds() -> None:
    words = [f"{root}{end}" for root in ("parc", "charg", "login", "sofa", "lamp") for end in "abcdefgh"]
    labels = list(TEAMS.choices)
    shown = [(" ".join(words[at:] + words[:at]), labels[at % 3]) for at in range(32)]
    prompt, provider, spent = step(TEAMS, *shown), OfflineProvider(), []
    for at in range(40):
        messages = render_step(prompt, {"message": " ".join(words[::-1][at:] + words[:at]) + f" {at}"})
        started = time.process_time()
        await provider.send(Request(model="offline/nearest", messages=messages), 5)
        spent.append(time.process_time() - started)
    assert statistics.median(spent) < 0.003
