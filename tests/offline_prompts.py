"""Small prompts for the offline reader, and its answers to them."""

from __future__ import annotations

from typing import Any

from domain.contracts import (
    ChoiceContract,
    OutputContract,
)
from domain.parsing import format_output, parse_output
from domain.prompt import Demonstration, PromptStep
from domain.rendering import render_step
from resources.llm.providers.offline import OfflineProvider
from resources.llm.types import ProviderAnswer, Request

TEAMS = ChoiceContract(
    choices={
        "delivery": "where a parcel is, late delivery, couriers",
        "billing": "charges, invoices, a declined card",
        "access": "signing in, passwords, locked accounts",
    }
)
PLAIN_TEAMS = ChoiceContract.model_validate({"choices": ["delivery", "billing", "access"]})


def step(contract: OutputContract, *shown: tuple[str, Any], system: str = "") -> PromptStep:
    return PromptStep(
        system_prompt=system,
        output_prompt="Message: {{ message }}",
        demonstrations=tuple(
            Demonstration(inputs={"message": text}, output=format_output(contract, value)) for text, value in shown
        ),
        output=contract,
    )


async def send(prompt: PromptStep, text: str, **changes: Any) -> ProviderAnswer:
    messages = render_step(prompt, {"message": text})
    return await OfflineProvider().send(Request(model="offline/nearest", messages=messages, **changes), 5)


async def read(prompt: PromptStep, text: str) -> Any:
    return parse_output(prompt.output, (await send(prompt, text)).text)
