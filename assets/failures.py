"""From Promptory's errors to Dagster failures that say file, row, field and mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from assets.one_partition import OnePartition
from assets.permanent_failure import stamp
from domain.errors import PromptoryError, StateUnavailableError, UnansweredError

WORTH_A_RETRY = (UnansweredError, StateUnavailableError)


@contextmanager
def clear_failures(context: dg.AssetExecutionContext | OnePartition) -> Iterator[None]:
    """Turn a `PromptoryError` into one readable failure; bad input also tags the run as not worth a retry.

    A step that makes several partitions is tagged at its end: should its process die before, the others need the retry.

    Raises:
        dagster.Failure: instead of any `PromptoryError`.
    """
    try:
        yield
    except PromptoryError as error:
        permanent = not isinstance(error, WORTH_A_RETRY)
        if permanent and not (isinstance(context, OnePartition) and context.shares_run):
            stamp(context.instance, context.run.run_id)
        details = {name: str(value) for name, value in error.as_dict().items() if value is not None}
        raise dg.Failure(str(error), metadata=details, allow_retries=not permanent) from error
