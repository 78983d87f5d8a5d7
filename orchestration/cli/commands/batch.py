"""`promptory batch`: unlabelled rows answered by a task's production prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.commands import batch_options as given
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
    files: given.Files = None,
    query: given.Query = None,
    url_variable: given.UrlVariable = None,
    url: given.Url = None,
    key: given.Key = None,
    prompt: given.Prompt = None,
    again: given.Again = False,
    how: given.How = None,
    rest: given.Rest = None,
    cache: given.Cache = None,
    concurrency: given.Concurrency = None,
    chunk_rows: given.ChunkRows = None,
    retry_rounds: given.RetryRounds = None,
    max_rejected: given.MaxRejected = None,
    keep_inputs: given.KeepInputs = None,
    cap: given.Cap = None,
    run_now: given.RunNow = False,
    as_json: AsJson = False,
) -> None:
    """Take rows in as batches: one per file, or one for a query (the task file's own when nothing is named).

    The rows are copied, so that the file may change or vanish afterwards. The same rows again are the same batch and
    cost nothing, whatever the file is called. What is not said here, the task file's section `batch` says.
    """
    from orchestration.cli.views.batch_adding import Added, added, changed_options

    changes = changed_options(
        key=key,
        how=how,
        rest=rest,
        cache=cache,
        concurrency=concurrency,
        chunk_rows=chunk_rows,
        retry_rounds=retry_rounds,
        max_rejected=max_rejected,
        keep_inputs=keep_inputs,
        cap_usd=cap,
    )
    wish = Added(task, tuple(files or ()), query, url_variable, url, prompt, again, changes)
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
    tells. Where the batch has paused for it, let it go on afterwards: `promptory batch resume`.
    """
    from orchestration.cli.views.batch_jobs import adopted

    adopted(batch, job, provider_job, as_json)


@app.command("write-off", epilog="Example: promptory batch write-off 3f9a01c2 51be0c9d")
def write_off(batch: Batch, job: Job, as_json: AsJson = False) -> None:
    """Give up a provider's job that was put aside and cannot be found, or whose results cannot be fetched.

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
