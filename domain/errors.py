"""Every error a person or a caller can meet, and the one table of provider faults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PromptoryError(Exception):
    """Base of all errors Promptory raises on purpose: what happened, where, and the mend.

    Args:
        problem: one sentence that says what is wrong.
        file: path of the file at fault.
        row: 1-based line or row in that file.
        field: dotted name of the field at fault.
        mend: what the reader can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        row: int | None = None,
        field: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = file
        self.row = row
        self.field = field
        self.mend = mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.row) if part is not None)
        where = " ".join(part for part in (place, f"[{self.field}]" if self.field else "") if part)
        text = f"{where}: {self.problem}" if where else self.problem
        if not self.mend:
            return text
        return f"{text}{'' if text.endswith(('.', '!', '?')) else '.'} Mend: {self.mend}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The parts, for `--json` and for Dagster metadata."""
        return {
            "error": type(self).__name__,
            "problem": self.problem,
            "file": self.file,
            "row": self.row,
            "field": self.field,
            "mend": self.mend,
        }


class InputError(PromptoryError):
    """A file, field or value a person gave is not usable."""


class ConfigurationError(PromptoryError):
    """A setting (environment, `CoreSettings`, task file) is not usable."""


class TemplateError(InputError):
    """A prompt template is malformed, uses an undefined field or leaves the sandbox."""


class OutputParseError(PromptoryError):
    """A model's answer does not meet the step's output contract."""


class EvaluatorError(PromptoryError):
    """An evaluator or a judge failed on a row: no fault of the prompt's, so the row stays without a score."""


class NotFoundError(PromptoryError):
    """A named task, version, alias or run does not exist."""


class SchemaVersionError(PromptoryError):
    """The database is on another schema than this program."""


class DatabaseUnavailableError(PromptoryError):
    """The database cannot be reached, or is held by others for longer than anybody should wait."""


class StateUnavailableError(PromptoryError):
    """The state store cannot be reached; budgets fail closed."""


class ConflictError(PromptoryError):
    """A compare-and-swap lost: somebody else moved the thing first."""


class FaultClass(StrEnum):
    """What kind of failure one attempt met. The one table the core's layers read."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER = "server"
    RATE_LIMITED = "rate_limited"
    AUTHENTICATION = "authentication"
    INVALID_REQUEST = "invalid_request"
    REFUSED = "refused"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class FaultRule:
    """How the core reacts to one fault class.

    Attributes:
        retryable: another attempt may help.
        counts_for_breaker: the provider is at fault.
        pauses_limiter: the model's limiter waits, even where the provider names no time.
        outcome_unknown: the provider may have billed; the reserve is kept as `ambiguous`.
    """

    retryable: bool
    counts_for_breaker: bool
    pauses_limiter: bool
    outcome_unknown: bool


FAULT_RULES: dict[FaultClass, FaultRule] = {
    FaultClass.TIMEOUT: FaultRule(True, True, False, True),
    FaultClass.CONNECTION: FaultRule(True, True, False, True),
    FaultClass.SERVER: FaultRule(True, True, False, False),
    FaultClass.RATE_LIMITED: FaultRule(True, False, True, False),
    FaultClass.AUTHENTICATION: FaultRule(False, False, False, False),
    FaultClass.INVALID_REQUEST: FaultRule(False, False, False, False),
    FaultClass.REFUSED: FaultRule(False, False, False, False),
    FaultClass.MALFORMED: FaultRule(True, True, False, True),
}


# The provider refuses this very request: another one may well be answered.
FAULTS_OF_ONE_REQUEST = frozenset({FaultClass.REFUSED, FaultClass.INVALID_REQUEST})


class ProviderError(PromptoryError):
    """One attempt failed at the provider.

    Args:
        fault: its class in `FAULT_RULES`.
        status_code: HTTP status, where there was one.
        retry_after_s: seconds the provider asked to wait, or says that nothing is left of its rate limit.
        never_sent: True when it is certain that no byte left (the charge is freed).
    """

    def __init__(
        self,
        problem: str,
        *,
        fault: FaultClass,
        status_code: int | None = None,
        retry_after_s: float | None = None,
        never_sent: bool = False,
        mend: str | None = None,
    ) -> None:
        self.fault = fault
        self.status_code = status_code
        self.retry_after_s = retry_after_s
        self.never_sent = never_sent
        super().__init__(problem, mend=mend)

    def name_endpoint(self, name: str) -> None:
        """Say which endpoint's settings to look at, where they may be to blame."""
        if self.fault in (FaultClass.AUTHENTICATION, FaultClass.CONNECTION):
            self.field = f"endpoints.{name}"

    @property
    def rule(self) -> FaultRule:
        """The reaction the table prescribes."""
        return FAULT_RULES[self.fault]


class UnansweredError(PromptoryError):
    """A call that must not fall back got no answer; `reason` is a `Completion.reason`."""

    def __init__(self, problem: str, *, reason: str, mend: str | None = None) -> None:
        self.reason = reason
        super().__init__(problem, mend=mend)
