"""An optimizer as DSPy's users run it: `dspy.Predict`, `dspy.LM` over its own client, `compile`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dspy
from dspy.utils.callback import BaseCallback

from benchmarks.sorter import LABEL_FIELD, TEXT_FIELD
from domain.dataset import Row
from domain.optimization import (
    BootstrapFewShotSpec,
    CoproSpec,
    GepaSpec,
    MiproV2Spec,
    OptimizerSpec,
    RandomSearchSpec,
    SimbaSpec,
)

TASK_TOKENS = 64
WRITER_TOKENS = 4_096


class CallCount(BaseCallback):
    """How many answers the program and the optimizer wanted; those of a cache are among them."""

    def __init__(self) -> None:
        self.asked = 0
        self._lock = threading.Lock()

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ARG002 (DSPy passes it)
        with self._lock:
            self.asked += (inputs.get("kwargs") or {}).get("n") or 1


@dataclass(frozen=True)
class Plain:
    """A DSPy program with its data, ready to be compiled.

    Attributes:
        spec: the optimizer with the settings that Promptory's task file has, too.
        writer: the LM that writes instructions.
    """

    program: dspy.Module
    train: list[dspy.Example]
    dev: list[dspy.Example]
    spec: Any
    task: dspy.LM
    writer: dspy.LM
    count: CallCount

    def compile(self) -> dspy.Module:
        """What the optimizer chose."""
        with dspy.context(lm=self.task):
            return _COMPILERS[type(self.spec)](self)

    def score(self, program: dspy.Module) -> float:
        """Mean score on dev, from 0 to 1."""
        with dspy.context(lm=self.task):
            return dspy.Evaluate(devset=self.dev, metric=metric, num_threads=self.spec.threads)(program).score / 100


def plain_dspy(
    base_url: str, instructions: str, train: Sequence[Row], dev: Sequence[Row], spec: OptimizerSpec, *, cache: bool
) -> Plain:
    """The program over these rows, in this order. `cache` is DSPy's own, in memory, empty at first."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=cache)
    signature = dspy.make_signature(f"{TEXT_FIELD} -> {LABEL_FIELD}", instructions)
    count = CallCount()
    return Plain(
        program=dspy.Predict(signature),
        train=_examples(train),
        dev=_examples(dev),
        spec=spec,
        task=_lm(base_url, 0.0, TASK_TOKENS, count, cache=cache),
        writer=_lm(base_url, 1.0, WRITER_TOKENS, count, cache=cache),
        count=count,
    )


def metric(example: dspy.Example, prediction: Any, _trace: Any = None) -> bool:
    """Whether the label is the expected one."""
    return getattr(prediction, LABEL_FIELD, None) == example[LABEL_FIELD]


def told_metric(
    gold: dspy.Example, pred: Any, _trace: Any = None, pred_name: str | None = None, _pred_trace: Any = None
) -> Any:
    """GEPA's: a score, and words where it reflects."""
    score = float(metric(gold, pred))
    if pred_name is None:
        return score
    given = getattr(pred, LABEL_FIELD, None)
    return dspy.Prediction(score=score, feedback=f"Given: {given}. Expected: {gold[LABEL_FIELD]}.")


def _lm(base_url: str, temperature: float, max_tokens: int, count: CallCount, *, cache: bool) -> dspy.LM:
    return dspy.LM(
        "openai/m",
        api_base=base_url,
        api_key="key",
        cache=cache,
        num_retries=0,
        callbacks=[count],
        temperature=temperature,
        max_tokens=max_tokens,
    )


def _examples(rows: Sequence[Row]) -> list[dspy.Example]:
    values = ({TEXT_FIELD: row.inputs[TEXT_FIELD], LABEL_FIELD: str(row.output)} for row in rows)
    return [dspy.Example(**one).with_inputs(TEXT_FIELD) for one in values]


def _bootstrap_few_shot(plain: Plain) -> dspy.Module:
    spec = plain.spec
    search = dspy.BootstrapFewShot(
        metric=metric,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        max_rounds=spec.max_rounds,
    )
    return search.compile(plain.program, trainset=plain.train)


def _random_search(plain: Plain) -> dspy.Module:
    spec = plain.spec
    search = dspy.BootstrapFewShotWithRandomSearch(
        metric=metric,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        num_candidate_programs=spec.candidates,
        num_threads=spec.threads,
    )
    return search.compile(plain.program, trainset=plain.train, valset=plain.dev)


def _copro(plain: Plain) -> dspy.Module:
    spec = plain.spec
    search = dspy.COPRO(
        prompt_model=plain.writer,
        metric=metric,
        breadth=spec.breadth,
        depth=spec.depth,
        init_temperature=spec.temperature,
    )
    return search.compile(plain.program, trainset=plain.dev, eval_kwargs={"num_threads": spec.threads})


def _mipro_v2(plain: Plain) -> dspy.Module:
    spec = plain.spec
    search = dspy.MIPROv2(
        metric=metric,
        prompt_model=plain.writer,
        task_model=plain.task,
        max_bootstrapped_demos=spec.max_bootstrapped,
        max_labeled_demos=spec.max_labeled,
        auto=spec.auto,
        num_threads=spec.threads,
        seed=spec.seed,
    )
    return search.compile(plain.program, trainset=plain.train, valset=plain.dev)


def _simba(plain: Plain) -> dspy.Module:
    spec, train = plain.spec, plain.train[: plain.spec.train_rows]
    search = dspy.SIMBA(
        metric=cast(Any, metric),  # declared narrower than DSPy's own examples use it
        bsize=min(spec.batch_rows, len(train)),
        num_candidates=spec.candidates,
        max_steps=spec.steps,
        max_demos=spec.max_demonstrations,
        prompt_model=plain.writer,
        num_threads=spec.threads,
    )
    return search.compile(plain.program, trainset=train, seed=spec.seed)


def _gepa(plain: Plain) -> dspy.Module:
    spec = plain.spec
    search = dspy.GEPA(
        metric=told_metric,
        max_metric_calls=spec.max_rows,
        reflection_minibatch_size=spec.minibatch_rows,
        reflection_lm=plain.writer,
        use_merge=False,
        num_threads=spec.threads,
        seed=spec.seed,
    )
    return search.compile(plain.program, trainset=plain.train, valset=plain.dev)


_COMPILERS: dict[type, Callable[[Plain], dspy.Module]] = {
    BootstrapFewShotSpec: _bootstrap_few_shot,
    RandomSearchSpec: _random_search,
    CoproSpec: _copro,
    MiproV2Spec: _mipro_v2,
    SimbaSpec: _simba,
    GepaSpec: _gepa,
}
