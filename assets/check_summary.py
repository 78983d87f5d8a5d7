"""One result per asset check for a run of many partitions: Dagster keeps one evaluation per check and step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from assets.presentation.tables import markdown_table

_SHOWN = 5


def summarized(results: Mapping[str, Sequence[dg.AssetCheckResult]]) -> Iterator[dg.AssetCheckResult]:
    """A result for each check that was evaluated, over all partitions: it passes where it passed in every one.

    Args:
        results: the partitions' results by partition key.
    """
    by_check: dict[str, dict[str, dg.AssetCheckResult]] = {}
    for key, found in results.items():
        for result in found:
            by_check.setdefault(str(result.check_name), {})[key] = result
    for name, found in by_check.items():
        yield _summary(name, found)


def _summary(name: str, found: Mapping[str, dg.AssetCheckResult]) -> dg.AssetCheckResult:
    failing = {key: result for key, result in found.items() if not result.passed}
    if not failing:
        return dg.AssetCheckResult(check_name=name, passed=True, description=f"Passed in all {len(found)} partitions.")
    told = "; ".join(f"{key}: {result.description}" for key, result in list(failing.items())[:_SHOWN])
    more = f"; and {len(failing) - _SHOWN} more" if len(failing) > _SHOWN else ""
    severe = any(result.severity is dg.AssetCheckSeverity.ERROR for result in failing.values())
    rows = [[key, result.description or ""] for key, result in failing.items()]
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description=f"{len(failing)} of {len(found)} partitions: {told}{more}",
        metadata={"partitions": dg.MetadataValue.md(markdown_table(["partition", "finding"], rows))},
    )
