"""What `promptory batch add` can be told."""

from __future__ import annotations

from typing import Annotated

import typer

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]…", help="CSV, TSV, JSONL or Parquet files, local or at object-store URLs."),
]
Query = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="Take in the rows of this query instead of files; give it an ORDER BY."),
]
UrlVariable = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Environment variable with the query's SQLAlchemy URL; never stored."),
]
Url = Annotated[str | None, typer.Option(metavar="URL", help="The query's SQLAlchemy URL, where it holds no password.")]
Key = Annotated[str | None, typer.Option(metavar="COLUMN", help="Your own key of a row, copied to results.")]
Prompt = Annotated[
    str | None, typer.Option(metavar="REF", help="A prompt version (3, v3, an id) instead of production.")
]
Again = Annotated[bool, typer.Option("--again", help="Answer, and pay for, rows once more that were answered already.")]
How = Annotated[
    str | None,
    typer.Option(
        metavar="direct|provider",
        help="`provider` hands the rows to the provider's batch API: half the price, answers within a day.",
    ),
]
Rest = Annotated[
    str | None,
    typer.Option(metavar="direct|provider", help="With --how provider: how rows are asked that its job left out."),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="on|read|off",
        help="The response cache: `read` stores nothing there. Not said: `on` up to 1,000 rows, else `read`.",
    ),
]
Concurrency = Annotated[int | None, typer.Option(min=1, max=4096, help="Rows at the provider at once.")]
ChunkRows = Annotated[int | None, typer.Option(min=1, max=50_000, help="Rows per part of the results.")]
RetryRounds = Annotated[
    int | None, typer.Option(min=0, max=10, help="Times rows without a usable answer are asked again.")
]
MaxRejected = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of unusable rows above which a source is refused.")
]
KeepInputs = Annotated[bool | None, typer.Option(help="Copy the input columns to the results.")]
Cap = Annotated[
    str | None, typer.Option(metavar="USD", help="The most each batch may cost; it pauses when that is spent.")
]
RunNow = Annotated[bool, typer.Option("--run", help="Run what was added, here and now.")]
