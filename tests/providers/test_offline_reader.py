from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offline_prompts import PLAIN_TEAMS, TEAMS, read, send, step

from domain.contracts import (
    CHOICE_LEAD,
    ChoiceContract,
    JsonContract,
    NumberContract,
    OutputContract,
    TextContract,
    contract_section,
)
from domain.errors import FaultClass, ProviderError
from domain.message import Message
from domain.prompt import PromptStep
from domain.rendering import render_step
from resources.llm.providers.offline import OfflineProvider
from resources.llm.providers.offline.reading import read_prefix
from resources.llm.types import Request


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("My parcels have not come, ask the courier!", "delivery"),
        ("you charged my card twice", "billing"),
        ("I forgot my password", "access"),
    ],
)
async def test_without_demonstrations_descriptions_decide(text: str, label: str) -> None:
    assert await read(step(TEAMS), text) == label


async def test_demonstrations_teach_what_descriptions_do_not_say() -> None:
    text = "the package is still sitting in some depot"
    assert await read(step(PLAIN_TEAMS, ("van never came", "billing")), text) != "delivery"
    taught = step(PLAIN_TEAMS, ("package stuck in a depot", "delivery"), ("money taken", "billing"))
    assert await read(taught, text) == "delivery"


async def test_wrong_demonstrations_mislead() -> None:
    text = "I cannot log in with my code"
    good = (("the login code does not come", "access"), ("an invoice please", "billing"))
    bad = (("the login code does not come", "billing"), ("an invoice please", "access"))
    assert await read(step(PLAIN_TEAMS, *good), text) == "access"
    assert await read(step(PLAIN_TEAMS, *bad), text) == "billing"


async def test_a_demonstrated_input_gets_its_own_answer() -> None:
    crowd = [(f"invoice number {at} is wrong", "billing") for at in range(8)]
    prompt = step(TEAMS, *crowd, ("invoice wrong", "access"))
    assert await read(prompt, "Invoice  wrong") == "access"


async def test_instructions_that_speak_of_one_label_count() -> None:
    text = "it gleams like a lighthouse"
    hinted = step(PLAIN_TEAMS, system="Be brief. Lighthouses and boats belong to access.")
    assert await read(hinted, text) == "access"
    assert await read(step(PLAIN_TEAMS, system="Be brief."), text) == "delivery"


async def test_reasoning_contracts_get_the_marker() -> None:
    contract = TEAMS.model_copy(update={"reasoning": True})
    answer = await send(step(contract, ("a password", "access")), "my password is lost")
    assert answer.text == "Answer: access"


@given(
    choices=st.dictionaries(
        st.from_regex(r"[a-z][a-z _:-]{0,8}[a-z]", fullmatch=True).filter(lambda label: ": " not in label),
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20),
        min_size=2,
        max_size=6,
    ),
    reasoning=st.booleans(),
    system=st.text(max_size=40),
)
def test_choice_sections_are_read_back_as_written(choices: dict[str, str], reasoning: bool, system: str) -> None:
    contract = ChoiceContract(choices=choices, reasoning=reasoning)
    prompt = PromptStep(system_prompt=system, output_prompt="{{ message }}", output=contract)
    assert read_prefix(render_step(prompt, {"message": "x"})[:-1]).contract == contract


@pytest.mark.parametrize(
    "contract",
    [
        NumberContract(),
        NumberContract(reasoning=True),
        JsonContract.model_validate({"schema": {"type": "object", "properties": {"a": {"enum": ["x", "y: z"]}}}}),
        TextContract(reasoning=True),
        TextContract(),
    ],
)
def test_other_sections_are_read_back_as_written(contract: OutputContract) -> None:
    messages = render_step(
        step(contract, ("q", {"a": "x"} if isinstance(contract, JsonContract) else 3)), {"message": ""}
    )
    reading = read_prefix(messages[:-1])
    assert reading.contract == contract
    assert len(reading.demonstrations) == 1


async def test_free_text_is_the_nearest_demonstrations() -> None:
    prompt = step(TextContract(), ("opening hours?", "Nine to five.\nBye"), ("cost of tea?", "Two pounds."))
    assert (await send(prompt, "when are the opening hours")).text == "Nine to five.\nBye"


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message("user", "Write a poem."),),
        (Message("system", "You are helpful."), Message("user", "Write a poem.")),
        (Message("system", f"Explain the words '{CHOICE_LEAD}' to me"), Message("user", "now")),
        (Message("system", contract_section(TEAMS) + "\nAnd now for something else"), Message("user", "now")),
        (Message("system", contract_section(TEAMS)), Message("assistant", "billing")),
        (Message("system", contract_section(TEAMS)), Message("assistant", "billing"), Message("user", "x")),
        (Message("user", "a"), Message("user", "b")),
        (Message("user", "a"), Message("system", contract_section(TEAMS)), Message("user", "b")),
    ],
)
async def test_what_is_no_prompt_of_a_task_is_refused(messages: tuple[Message, ...]) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineProvider().send(Request(model="offline/nearest", messages=messages), 5)
    assert (caught.value.fault, caught.value.never_sent) == (FaultClass.INVALID_REQUEST, True)
    assert "not a language model" in str(caught.value)
