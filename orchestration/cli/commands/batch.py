"""`promptory batch`: unlabelled rows answered by a task's production prompt."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import AsJson, TaskName

app = typer.Typer(
    no_args_is_help=True,
    help="Answer files or tables of unlabelled rows with a task's production prompt, each row paid for once.",
)

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="A batch's id, or its first 6 digits or more.")]

Job = Annotated[str, typer.Argument(metavar="JOB", help="A provider job's id, or its first 6 digits or more.")]


@app.command(epilog="Example: promptory batch add support_triage tickets.csv --key ticket_id --run")
def add(
    task: TaskName,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]…", help="CSV, TSV, JSONL or Parquet files, local or at object-store URLs."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="SQL", help="Take in the rows of this query instead of files.")
    ] = None,
    url_variable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the query's SQLAlchemy URL; never stored."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The query's SQLAlchemy URL, where it holds no password.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="COLUMN", help="Your own key of a row, copied to results.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="REF", help="A prompt version (3, v3, an id) instead of production.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Answer, and pay for, rows once more that were answered already.")
    ] = False,
    how: Annotated[
        str | None,
        typer.Option(
            metavar="direct|provider",
            help="`provider` hands the rows to the provider's batch API: half the price, answers within a day.",
        ),
    ] = None,
    rest: Annotated[
        str | None,
        typer.Option(metavar="direct|provider", help="With --how provider: how rows are asked that its job left out."),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="on|read|off",
            help="The response cache: `read` stores nothing there. Not said: `on` up to 1,000 rows, else `read`.",
        ),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, max=4096, help="Rows answered at once.")] = None,
    chunk_rows: Annotated[int | None, typer.Option(min=1, max=50_000, help="Rows per part of the results.")] = None,
    retry_rounds: Annotated[
        int | None, typer.Option(min=0, max=10, help="Times rows without a usable answer are asked again.")
    ] = None,
    max_rejected: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of unusable rows above which a source is refused.")
    ] = None,
    keep_inputs: Annotated[bool | None, typer.Option(help="Copy the input columns to the results.")] = None,
    cap: Annotated[
        str | None, typer.Option(metavar="USD", help="The most each batch may cost; it pauses when that is spent.")
    ] = None,
    run_now: Annotated[bool, typer.Option("--run", help="Run what was added, here and now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take rows in as batches: one per file, or one for a query (the task file's own when nothing is named).

    The rows are copied, so that the file may change or vanish afterwards. The same rows again are the same batch and
    cost nothing, whatever the file is called. What is not said here, the task file's section `batch` says.
    """
    from orchestration.cli.views.batch_adding import Added, added

    changes = {
        "key": key,
        "how": how,
        "rest": rest,
        "cache": cache,
        "concurrency": concurrency,
        "chunk_rows": chunk_rows,
        "retry_rounds": retry_rounds,
        "max_rejected": max_rejected,
        "keep_inputs": keep_inputs,
        "cap_usd": None if cap is None else Decimal(cap),
    }
    given = {name: value for name, value in changes.items() if value is not None}
    wish = Added(task, tuple(files or ()), query, url_variable, url, prompt, again, given)
    raise typer.Exit(added(wish, run_now=run_now, as_json=as_json))


@app.command("list", epilog="Example: promptory batch list --task support_triage")
def list_batches(
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only this task's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first, and the files that could not be taken in."""
    from orchestration.cli.views.batches import listed

    listed(task, limit, as_json)


@app.command(epilog="Example: promptory batch show 3f9a01c2")
def show(batch: Batch, as_json: AsJson = False) -> None:
    """Show a batch: how far it is, what it cost, why it rests, where its results are, what was paid for twice."""
    from orchestration.cli.views.batches import shown

    shown(batch, as_json)


@app.command(epilog="Example: promptory batch run 3f9a01c2")
def run(
    batches: Annotated[list[str] | None, typer.Argument(metavar="[BATCH]…", help="Ids, or their beginnings.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Everything of this task that may go on, new files included.")
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Stay, and look at a provider's batch job again and again until it has ended."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run batches here and now, showing rate, time left and dollars.

    Ctrl-C pauses: rows under way are answered and kept (once more to break off). A batch that was paused, interrupted
    or killed goes on where it stopped; a finished one is left as it is and costs nothing. Exits with 1 where a batch
    did not come to its end.
    """
    from orchestration.cli.views.batch_running import ran

    raise typer.Exit(ran(tuple(batches or ()), task, wait, as_json))


@app.command(epilog="Example: promptory batch adopt 3f9a01c2 51be0c9d --provider-job batch_67a1")
def adopt(
    batch: Batch,
    job: Job,
    provider_job: Annotated[str, typer.Option(metavar="ID", help="The job's id at the provider.")],
    as_json: AsJson = False,
) -> None:
    """Say which of the provider's jobs is the one that was put aside, because its creation was cut off.

    Look for it on the provider's own page: it has the number of requests, and the time, that `promptory batch show`
    tells. Then let the batch go on: `promptory batch resume`.
    """
    from orchestration.cli.views.batch_jobs import adopted

    adopted(batch, job, provider_job, as_json)


@app.command("write-off", epilog="Example: promptory batch write-off 3f9a01c2 51be0c9d")
def write_off(batch: Batch, job: Job, as_json: AsJson = False) -> None:
    """Give up a provider's job that was put aside and cannot be found.

    What it may have cost stays charged, as ambiguous. Its rows are asked again once the batch is resumed: should the
    job exist all the same, they are paid for twice.
    """
    from orchestration.cli.views.batch_jobs import written_off

    written_off(batch, job, as_json)


@app.command(epilog="Example: promptory batch pause 3f9a01c2")
def pause(batch: Batch, as_json: AsJson = False) -> None:
    """Pause a batch until you resume it. A running one answers the rows it has under way first."""
    from orchestration.cli.views.batches import steered

    steered("pause", batch, as_json)


@app.command(epilog="Example: promptory batch resume 3f9a01c2")
def resume(batch: Batch, as_json: AsJson = False) -> None:
    """Let a paused batch go on: with the task's next run, or at once by `promptory batch run`."""
    from orchestration.cli.views.batches import steered

    steered("resume", batch, as_json)


@app.command(epilog="Example: promptory batch cancel 3f9a01c2")
def cancel(batch: Batch, as_json: AsJson = False) -> None:
    """End a batch for good. Rows under way are answered first; the parts that are finished stay."""
    from orchestration.cli.views.batches import steered

    steered("cancel", batch, as_json)


@app.command(epilog="Example: promptory batch retry 3f9a01c2 --run")
def retry(
    batch: Batch,
    run_now: Annotated[bool, typer.Option("--run", help="Run it, here and now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a batch of a finished one's dead letters: the rows that got no usable answer."""
    from orchestration.cli.views.batch_adding import retried

    raise typer.Exit(retried(batch, run_now=run_now, as_json=as_json))


@app.command(epilog="Example: promptory batch results 3f9a01c2 --to answers.csv")
def results(
    batch: Batch,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all results to one CSV, JSONL or Parquet file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print where no file is named.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the first results, or write all of them to one file. Finished chunks can be read before the batch ends."""
    from orchestration.cli.views.batch_results import shown_results

    shown_results(batch, to, limit, as_json)
