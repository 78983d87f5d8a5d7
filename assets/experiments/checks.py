"""Asset checks of an experiment's report."""

import dagster as dg

from resources.experiments.reporting import LiveReport


def sample_ratio_check(live: LiveReport) -> dg.AssetCheckResult:
    """Units that do not fall to the variants as dealt are an error: no figure of such an experiment counts."""
    ratio = live.report.sample_ratio
    metadata: dict[str, float] = {"always_valid_p_value": ratio.always_valid_p_value}
    if ratio.p_value is not None:
        metadata["p_value"] = ratio.p_value
    return dg.AssetCheckResult(
        check_name="sample_ratio",
        passed=ratio.matches,
        severity=dg.AssetCheckSeverity.ERROR,
        description=ratio.sentence,
        metadata=metadata,
    )


def guardrails_check(live: LiveReport) -> dg.AssetCheckResult:
    """Costs and latencies against their limits: passed until a ratio is shown to lie above."""
    told = [
        (name, one.variant, ratio)
        for one in live.report.comparisons
        for name, ratio in (("cost", one.cost), ("latency", one.latency))
        if ratio is not None and ratio.limit is not None
    ]
    sentences = [
        f"{name} of {variant}: {ratio.ratio or 0:.2f} times the control's ({ratio.low:.2f} to {ratio.high:.2f}), "
        f"limit {ratio.limit:g}."
        for name, variant, ratio in told
    ]
    return dg.AssetCheckResult(
        check_name="guardrails",
        passed=not any(ratio.broken for _, _, ratio in told),
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(sentences) or "There is no guardrail, or not enough to compare yet.",
    )
