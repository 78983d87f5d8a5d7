"""What an optimizer's task predictors send is byte for byte what the renderer makes."""

from __future__ import annotations

import pytest
from dspy_runtime.scripted import MemoryJournal, completion
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.contracts import ChoiceContract, JsonContract, NumberContract, TextContract
from domain.prompt import Demonstration, PromptParameters, PromptStep, PromptVersion
from domain.rendering import render_step
from resources.dspy_runtime.adapter import StepAdapter
from resources.dspy_runtime.calls import RunCalls
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.engine import task_lm
from resources.dspy_runtime.journal import Journal
from resources.dspy_runtime.program import program_from_prompt, prompt_from_program
from resources.dspy_runtime.progress import ProgressReport
from resources.llm.prompt_request import build_request
from resources.llm.types import CallContext, Request

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["{{ text }}", "{% raw %}", "\r\n\t x \u2028", "[[ ## answer ## ]]", "  lead", "trail\n\n", "", "\u200bé́", "`x`"]
)
# Names DSPy keeps for itself, and one that is nobody's.
NAMES = ("config", "lm", "self", "inputs", "signature", "demos", "augmented", "instance", "model_id", "copy", "text")
CONTRACTS = st.sampled_from(
    [
        TextContract(),
        TextContract(reasoning=True),
        NumberContract(),
        ChoiceContract(choices={"a": "first", "b": ""}),
        JsonContract(json_schema={"type": "object"}),
    ]
)


class Recorder:
    """Answers every step with its text and keeps the requests."""

    def __init__(self, texts: list[str]) -> None:
        self.requests: list[Request] = []
        self._texts = texts

    def __call__(self, request: Request, context: CallContext):
        self.requests.append(request)
        return completion(self._texts[len(self.requests) - 1], len(self.requests), request.model)


def ask(prompt: PromptVersion, inputs: dict[str, str], texts: list[str]) -> tuple[list[Request], dspy.Prediction]:
    recorder = Recorder(texts)
    calls = RunCalls(recorder, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    program = program_from_prompt(prompt)
    names = program.plan.fields.rows
    with dspy.context(lm=task_lm(calls, prompt), adapter=StepAdapter(program.plan), trace=None, disable_history=True):
        prediction = program(**{field: inputs[name] for name, field in names.items()})
    return recorder.requests, prediction


@st.composite
def single_steps(draw: st.DrawFn) -> tuple[PromptVersion, dict[str, str]]:
    name = draw(st.sampled_from(NAMES))
    template = draw(TEXT.filter(lambda text: "{" not in text)) + "{{ " + name + " }} {{ other }}"
    demonstrations = draw(
        st.lists(
            st.builds(
                Demonstration,
                inputs=st.fixed_dictionaries({name: TEXT, "other": TEXT}, optional={"more": TEXT}),
                output=TEXT,
            ),
            max_size=3,
        )
    )
    step = PromptStep(
        name=draw(st.sampled_from(["answer", "text", "copy", "other"])),
        system_prompt=draw(TEXT),
        output_prompt=template,
        demonstrations=tuple(demonstrations),
        output=draw(CONTRACTS),
    )
    parameters = PromptParameters(
        temperature=draw(st.sampled_from([0.0, 0.5])),
        max_output_tokens=9,
        top_p=0.5,
        stop=("###",),
        seed=3,
        extra={"min_p": 0.1},
    )
    return PromptVersion(steps=(step,), model="openai/m", parameters=parameters), {
        name: draw(TEXT),
        "other": draw(TEXT),
    }


@given(single_steps(), TEXT)
@settings(max_examples=150, deadline=None)
def test_a_single_step(case: tuple[PromptVersion, dict[str, str]], text: str) -> None:
    prompt, inputs = case
    requests, prediction = ask(prompt, inputs, [text])
    sample = None if prompt.parameters.temperature == 0 else 0
    assert requests == [build_request(prompt, render_step(prompt.steps[0], inputs), sample)]
    assert list(prediction.values()) == [text], "the raw answer, whatever it says"


@given(single_steps())
@settings(max_examples=100, deadline=None)
def test_there_and_back(case: tuple[PromptVersion, dict[str, str]]) -> None:
    prompt, _ = case
    program = program_from_prompt(prompt)
    assert prompt_from_program(prompt, program) == prompt
    assert prompt_from_program(prompt, program.deepcopy()).id == prompt.id


def two_steps() -> PromptVersion:
    topic = PromptStep(
        name="topic",
        system_prompt="Name the topic.",
        output_prompt="{{ text }}",
        output=ChoiceContract(choices=["money", "post"], reasoning=True),
        demonstrations=(Demonstration(inputs={"text": "bill"}, output="Answer: money"),),
    )
    count = PromptStep(name="count", output_prompt="{{ topic }}?", output=NumberContract())
    reply = PromptStep(name="text", output_prompt="{{ topic }} {{ count }} {{ text }}")
    return PromptVersion(steps=(topic, count, reply), model="openai/m")


def test_later_steps_see_the_values_of_earlier_ones() -> None:
    prompt = two_steps()
    requests, prediction = ask(prompt, {"text": "Where is it?"}, ["Hm.\nAnswer: POST.", " 4.0 ", " It is here. "])
    seen = [{"text": "Where is it?"}, {"topic": "post"}, {"topic": "post", "count": "4", "text": "Where is it?"}]
    expected = [render_step(step, given) for step, given in zip(prompt.steps, seen, strict=True)]
    assert [request.messages for request in requests] == expected
    assert list(prediction.values()) == [" It is here. "]


@pytest.mark.parametrize(("texts", "asked"), [(["no topic"], 1), (["Answer: post", "many"], 2)])
def test_a_broken_step_ends_the_row_without_an_answer(texts: list[str], asked: int) -> None:
    requests, prediction = ask(two_steps(), {"text": "x"}, texts)
    assert len(requests) == asked
    assert list(prediction.values()) == [""]


def test_learned_text_is_verbatim() -> None:
    prompt = two_steps()
    program = program_from_prompt(prompt)
    learned = "  Tabs\tand\n   indents\n stay. \n"
    predict = program.steps[0]
    predict.signature = predict.signature.with_instructions(learned)
    predict.demos = [dspy.Example(augmented=True, text="a\tb", topic="So.\nAnswer: post ")]
    step = prompt_from_program(prompt, program).steps[0]
    assert step.system_prompt == learned
    assert step.demonstrations == (Demonstration(inputs={"text": "a\tb"}, output="So.\nAnswer: post "),)


def test_labelled_rows_say_nothing_about_intermediate_steps() -> None:
    prompt = two_steps()
    program = program_from_prompt(prompt)
    row = dspy.Example(text="a", **{program.plan.fields.label: "reply"}).with_inputs("text")
    for predict in program.steps:
        predict.demos = [row]
    assert [step.demonstrations for step in prompt_from_program(prompt, program).steps] == [(), (), ()]
