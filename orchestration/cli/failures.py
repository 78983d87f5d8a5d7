"""Errors on the terminal: one clear line, the right exit code, no traceback for what was raised on purpose."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from domain.errors import PromptoryError, ProviderError, UnansweredError
from orchestration.cli.options import JSON_KEY, VERBOSE_KEY
from orchestration.cli.screen import emit, error_console
from orchestration.run_report import RunFailedError

BAD_INPUT = 2
FAILED = 1


class PromptoryGroup(TyperGroup):
    """The root command: whatever `PromptoryError` a command raises ends here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: instead of any `PromptoryError`; 1 for a failed run or call, 2 for what a person can mend.
        """
        try:
            return super().invoke(ctx)
        except PromptoryError as error:
            if ctx.meta.get(VERBOSE_KEY):
                error_console().print_exception()
            show_error(error)
            if ctx.meta.get(JSON_KEY):
                emit(True, error.as_dict(), lambda _: None)
            failed = isinstance(error, RunFailedError | UnansweredError | ProviderError)
            raise typer.Exit(FAILED if failed else BAD_INPUT) from error


def show_error(error: PromptoryError) -> None:
    """One red line on standard error: file, row, field, problem, mend."""
    error_console().print(Text(f"Error: {_line(error)}", style="red"), soft_wrap=True)


def _line(error: PromptoryError) -> str:
    place = ":".join(str(part) for part in (error.file, error.row) if part is not None)
    field = f"[{error.field}]" if error.field else ""
    where = " ".join(part for part in (place, field) if part)
    problem = error.problem if error.problem.endswith((".", "!", "?")) else f"{error.problem}."
    parts = (f"{where}:" if where else "", problem, f"Mend: {error.mend}" if error.mend else "")
    return " ".join(" ".join(parts).split())
