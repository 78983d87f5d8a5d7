"""How a batch is worked on: every field bounded, every default the safe one."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from domain.errors import InputError

MOST_ROWS_IN_CACHE = 1_000
"""Rows of the largest batch whose answers go into the response cache where nothing is said: a tenth of what the cache
holds where nothing is said. A larger one would drive out what serving and evaluation find there."""

CacheUse = Literal["on", "read", "off"]


def _word(value: Any) -> Any:
    """YAML takes a bare `on` or `off` for a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class BatchOptions(BaseModel):
    """Settings of one batch, kept with it: a resumed batch goes on as it began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str | None = Field(
        default=None, description="Column with your own key of a row; it is copied to the results, never sent."
    )
    how: Literal["direct", "provider"] = Field(
        default="direct",
        description="`direct` asks row by row; `provider` hands the rows to the provider's batch API, which costs half "
        "and answers within a day.",
    )
    rest: Literal["direct", "provider"] = Field(
        default="direct",
        description="With `how: provider`: how rows are asked again that the provider's job left out or failed.",
    )
    poll_s: float = Field(
        default=300.0, ge=1, le=86_400, description="With `how: provider`: seconds between two looks at its job."
    )
    cache: Annotated[CacheUse | None, BeforeValidator(_word)] = Field(
        default=None,
        description="Use of the response cache by rows asked directly: `on` looks answers up and stores them, `read` "
        "looks them up only, `off` passes it by. Not said: `on` for up to 1,000 rows, else `read`. Where a large file "
        "repeats its rows, `on` may save more than it drives out.",
    )
    concurrency: int = Field(default=64, ge=1, le=4096, description="Rows at the provider at once.")
    chunk_rows: int | None = Field(
        default=None,
        ge=1,
        le=50_000,
        description="Rows per chunk: what becomes one Parquet part of the results, and with `how: provider` one job. "
        "Not said: 1,000, or 10,000 with `how: provider`.",
    )
    retry_rounds: int = Field(
        default=1, ge=0, le=10, description="Times the rows without a usable answer are asked again at the end."
    )
    retry_invalid: bool | None = Field(
        default=None,
        description="Ask again where an answer broke its contract; not said: only above temperature 0, where another "
        "answer may come.",
    )
    max_rejected: float = Field(
        default=0.1, ge=0, le=1, description="Share of unusable rows above which the whole source is refused."
    )
    max_failed: float = Field(
        default=0.5, ge=0, le=1, description="Share of unanswered rows above which the batch pauses for a person."
    )
    keep_inputs: bool = Field(default=False, description="Copy the input columns to the results.")
    allow_fallback: bool = Field(
        default=False, description="Let configured stand-in models and canned texts answer; canned rows are `fallback`."
    )
    cap_usd: Decimal | None = Field(
        default=None, gt=0, description="The most this batch may cost; it pauses when that is spent."
    )

    @property
    def rows_per_chunk(self) -> int:
        """At most."""
        return self.chunk_rows or (1_000 if self.how == "direct" else 10_000)

    def cache_use(self, rows: int) -> CacheUse:
        """How the calls of a batch of so many rows use the response cache."""
        return self.cache or ("on" if rows <= MOST_ROWS_IN_CACHE else "read")

    def retries_invalid(self, temperature: float) -> bool:
        """Whether answers that broke their contract are asked for again."""
        return temperature > 0 if self.retry_invalid is None else self.retry_invalid


def check_handing_over(how: str, steps: int) -> None:
    """Return only if a prompt of so many steps can be asked in that way.

    Raises:
        InputError: it has several, each of which needs the answer of the one before, which a provider's job cannot wait
            for.
    """
    if how == "provider" and steps > 1:
        raise InputError(
            f"a prompt of {steps} steps cannot be handed to a batch API: each step needs the answer of the one before",
            field="batch.how",
            mend="ask row by row: `how: direct`.",
        )


class BatchQuery(BaseModel):
    """Rows from a database, fetched when a batch is added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sql: str = Field(
        min_length=1,
        description="One SELECT that gives the input columns and the key, with an ORDER BY: "
        "the same rows in another order are a new batch.",
    )
    variable: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the SQLAlchemy URL; never the URL itself.",
    )


class BatchSpec(BatchOptions):
    """The `batch` section of a task file: settings of its batches, and where rows come from beside its folder."""

    query: BatchQuery | None = Field(default=None, description="What `promptory batch add TASK` takes in.")

    def options(self) -> BatchOptions:
        """The settings of one batch."""
        return BatchOptions.model_validate(self.model_dump(exclude={"query"}))


MIN_ROWS_TO_JUDGE = 100


def too_many_failed(failed: int, finished: int, max_failed: float) -> bool:
    """Whether so many of the finished rows have no answer that going on would only burn through the file.

    A handful says nothing yet: before `MIN_ROWS_TO_JUDGE` rows nobody judges.
    """
    return finished >= MIN_ROWS_TO_JUDGE and failed > max_failed * finished
