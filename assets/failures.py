"""From Promptory's errors to Dagster failures that say file, row, field and mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from assets.one_partition import OnePartition
from domain.errors import PromptoryError, StateUnavailableError, UnansweredError

PERMANENT_FAILURE_TAG = "promptory/permanent_failure"
NO_RETRY_TAG = "dagster/max_retries"
WORTH_A_RETRY = (UnansweredError, StateUnavailableError)


@contextmanager
def clear_failures(context: dg.AssetExecutionContext | OnePartition) -> Iterator[None]:
    """Turn a `PromptoryError` into one readable failure; bad input also tags the run as not worth a retry.

    Dagster's run-retry daemon does not look at `allow_retries`, only at the tag.

    Raises:
        dagster.Failure: instead of any `PromptoryError`.
    """
    try:
        yield
    except PromptoryError as error:
        permanent = not isinstance(error, WORTH_A_RETRY)
        if permanent:
            context.instance.add_run_tags(context.run.run_id, {PERMANENT_FAILURE_TAG: "true", NO_RETRY_TAG: "0"})
        details = {name: str(value) for name, value in error.as_dict().items() if value is not None}
        raise dg.Failure(str(error), metadata=details, allow_retries=not permanent) from error
