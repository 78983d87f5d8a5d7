"""Instructions rewritten from what the evaluators say of wrong answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dspy.teleprompt.gepa import InstructionProposer

from domain.optimization import GepaSpec, gepa_rows
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.metric import RowMetric
from resources.dspy_runtime.optimizers.baseline import score_baseline
from resources.dspy_runtime.optimizers.setting import Setting
from resources.dspy_runtime.program import StepPrediction


def compile_gepa(spec: GepaSpec, setting: Setting) -> dspy.Module:
    """DSPy's best candidate on dev.

    Raises:
        dspy.AdapterParseError: the model that writes instructions never kept to the format.
    """
    steps = len(setting.program.steps)
    score_baseline(setting, spec.threads)
    writer = _Writer()
    search = dspy.GEPA(
        metric=_FeedbackMetric(setting.metric),
        max_metric_calls=gepa_rows(spec, len(setting.dev), steps),
        reflection_minibatch_size=spec.minibatch_rows,
        reflection_lm=setting.proposal_lm,
        instruction_proposer=writer,
        use_merge=spec.merge and steps > 1,
        num_threads=spec.threads,
        warn_on_score_mismatch=False,
        seed=spec.seed,
    )
    chosen = search.compile(setting.program, trainset=setting.train, valset=setting.dev)
    writer.check()
    return chosen


class _FeedbackMetric:
    """GEPA's metric: a score where it scores, and words where it reflects on a train row."""

    def __init__(self, metric: RowMetric) -> None:
        self._metric = metric

    def __call__(
        self,
        gold: dspy.Example,
        pred: StepPrediction,
        trace: Any = None,  # noqa: ARG002 (GEPA passes it, also where no demonstration is to be judged)
        pred_name: str | None = None,
        pred_trace: Any = None,  # noqa: ARG002
    ) -> float | dspy.Prediction:
        return self._metric(gold, pred) if pred_name is None else self._metric.explained(gold, pred)


class _Writer:
    """GEPA's own proposer, each time as a draw of its own: asked the same again, it shall not write the same again.

    GEPA takes a failure to write for a wasted iteration; where every one failed, the run would end as if there were
    nothing better than the baseline.
    """

    def __init__(self) -> None:
        self._propose = InstructionProposer()
        self._asked = 0
        self._failures: list[dspy.AdapterParseError] = []

    def __call__(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        self._asked += 1
        with dspy.context(lm=dspy.settings.lm.copy(rollout_id=self._asked)):
            try:
                return self._propose(candidate, reflective_dataset, components_to_update)
            except dspy.AdapterParseError as error:
                self._failures.append(error)
                raise

    def check(self) -> None:
        """Refuse to call it a result when nothing was ever written.

        Raises:
            dspy.AdapterParseError: the first failure.
        """
        if self._failures and len(self._failures) == self._asked:
            raise self._failures[0]
