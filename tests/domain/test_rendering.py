from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.contracts import CHOICE_LEAD, ChoiceContract
from domain.errors import TemplateError
from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.rendering import StepRenderer, check_templates, render_step, template_fields

HOSTILE = "{{ 7*7 }}{% for a in b %}{# gone #}{{ config }} {{- x -}}\r\n $x ${x} {x} %s\n"


def step(template: str, **fields: object) -> PromptStep:
    return PromptStep.model_validate({"output_prompt": template, **fields})


def rendered(template: str, **inputs: str) -> str:
    return render_step(step(template), inputs)[-1].content


@given(st.text(max_size=200))
@example(HOSTILE)
@example("{{ 7*7 }}")
@example("trailing newline\n")
def test_inputs_are_sent_verbatim(text: str) -> None:
    assert rendered("<{{ text }}>", text=text) == f"<{text}>"
    assert rendered("{{ text }}", text=text) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
@example(HOSTILE)
def test_learned_text_is_sent_verbatim(text: str) -> None:
    demonstration = Demonstration(inputs={"text": text}, output=text)
    messages = render_step(step("{{ text }}", system_prompt=text, demonstrations=[demonstration]), {"text": "row"})
    expected = [("system", text)] if text else []
    assert messages == (*expected, ("user", text), ("assistant", text), ("user", "row"))


def test_labels_and_their_descriptions_are_sent_verbatim() -> None:
    contract = ChoiceContract(choices={"{{ 7*7 }}": "{% raw %}", "b": ""})
    system = render_step(step("x", output=contract), {})[0].content
    assert system == f"{CHOICE_LEAD}\n- {{{{ 7*7 }}}}: {{% raw %}}\n- b"


def test_messages_come_in_turns_under_one_system_message() -> None:
    full = step(
        "Q: {{ q }}",
        system_prompt="Be brief.",
        output=ChoiceContract(choices={"a": "", "b": ""}),
        demonstrations=[{"inputs": {"q": "1"}, "output": "a"}, {"inputs": {"q": "2"}, "output": "b"}],
    )
    assert [(m.role, m.content) for m in render_step(full, {"q": "3"})] == [
        ("system", f"Be brief.\n\n{CHOICE_LEAD}\n- a\n- b"),
        ("user", "Q: 1"),
        ("assistant", "a"),
        ("user", "Q: 2"),
        ("assistant", "b"),
        ("user", "Q: 3"),
    ]


def test_without_system_text_there_is_no_system_message() -> None:
    assert [message.role for message in render_step(step("x"), {})] == ["user"]


def test_a_renderer_gives_each_row_what_a_fresh_one_would() -> None:
    shared = StepRenderer(step("{% set n = text|length %}{{ text }} {{ n }}", system_prompt="s"))
    for text in ("a", "bb", "a"):
        assert shared.render({"text": text}) == render_step(
            step("{% set n = text|length %}{{ text }} {{ n }}", system_prompt="s"), {"text": text}
        )


def test_filters_conditions_and_small_arithmetic_work() -> None:
    template = "{% if text %}{{ text|upper|replace('B', 'c') }} {{ 6 * 7 }} {{ 7 % 4 }}{% else %}-{% endif %}"
    assert rendered(template, text="ab") == "Ac 42 3"
    assert rendered(template, text="") == "-"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ text.__class__.__base__.__subclasses__() }}",
        "{{ text|attr('__class__') }}",
        "{{ text['__class__'] }}",
        "{{ text.format.__globals__ }}",
        "{{ '{0.__class__.__mro__}'.format(text) }}",
        "{{ '{x.__class__}'.format_map({'x': text}) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ joiner }}{{ namespace }}",
        "{{ range(10) }}",
        "{{ dict(a=1) }}",
        "{{ [].append(1) }}",
        "{% set d = {} %}{{ d.update({'a': 1}) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 10001 * 2 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 1 // 0 }}",
        "{{ text + 1 }}",
    ],
)
def test_no_template_leaves_the_sandbox(template: str) -> None:
    with pytest.raises(TemplateError):
        rendered(template, text="x")


@pytest.mark.parametrize("template", ["{{ text", "{% for a in text %}", "{{ text|nofilter }}", "{{ " + "(" * 5_000])
def test_malformed_templates_are_refused_where_they_are_loaded(template: str) -> None:
    with pytest.raises(TemplateError) as caught:
        template_fields(template)
    assert caught.value.field == "output_prompt"


def test_a_malformed_template_names_its_line() -> None:
    with pytest.raises(TemplateError) as caught:
        template_fields("fine\n{{ oh no }}")
    assert caught.value.row == 2


def test_a_missing_field_is_named_with_those_there_are() -> None:
    with pytest.raises(TemplateError, match=r"'subject' is undefined.*body, text"):
        rendered("{{ subject }}", text="x", body="y")


def test_a_demonstration_that_does_not_fill_the_template_is_refused() -> None:
    with pytest.raises(TemplateError, match="'text' is undefined"):
        StepRenderer(step("{{ text }}", demonstrations=[{"inputs": {"other": "x"}, "output": "y"}]))


def test_template_fields_are_what_the_template_reads() -> None:
    assert template_fields("{{ a }} {% for c in b %}{{ c }}{% endfor %}{% set d = 1 %}{{ d }}") == {"a", "b"}


def chain(*templates: tuple[str, str]) -> PromptVersion:
    steps = tuple(step(template, name=name) for name, template in templates)
    return PromptVersion(model="openai/x", steps=steps)


def test_a_step_may_read_the_rows_fields_and_earlier_answers() -> None:
    check_templates(chain(("facts", "{{ text }}"), ("answer", "{{ text }} {{ facts }}")), ("text",))


@pytest.mark.parametrize(
    ("prompt", "where", "known"),
    [
        (chain(("facts", "{{ answer }}"), ("answer", "x")), "steps.facts.output_prompt", "use one of: text."),
        (chain(("a", "x"), ("b", "{{ b }}")), "steps.b.output_prompt", "use one of: text, a."),
        (
            chain(
                ("a", "{{ range }}"),
            ),
            "steps.a.output_prompt",
            "use one of: text.",
        ),
    ],
)
def test_a_field_from_nowhere_is_refused(prompt: PromptVersion, where: str, known: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check_templates(prompt, ("text",))
    assert (caught.value.field, caught.value.mend) == (where, known)


def test_a_template_that_leaves_the_sandbox_is_refused_before_any_row() -> None:
    with pytest.raises(TemplateError, match="sandbox"):
        check_templates(chain(("a", "{{ text.__class__ }}")), ("text",))


def test_a_file_named_like_a_template_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TemplateError, match="no loader"):
        rendered("{% include 'secret' %}")
