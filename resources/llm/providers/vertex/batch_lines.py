"""Lines of the files of batch prediction, and what its job objects say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from google.cloud.aiplatform_v1.types import (
    BatchPredictionJob,
    GenerateContentRequest,
    GenerateContentResponse,
    JobState,
)
from google.protobuf.json_format import ParseDict, ParseError

from domain.batch.provider_jobs import ProviderCounts
from domain.errors import FaultClass, ProviderError
from resources.llm.batch_api import JobStatus, LineResult, TokenBounds
from resources.llm.providers.batch_result_lines import read_results
from resources.llm.providers.vertex.wire import generate_request, parse_answer
from resources.llm.types import Request

CALL_LABEL = "promptory_call"
_CUT_SHORT = frozenset({JobState.JOB_STATE_CANCELLED, JobState.JOB_STATE_EXPIRED})
_ENDED = _CUT_SHORT | {
    JobState.JOB_STATE_SUCCEEDED,
    JobState.JOB_STATE_PARTIALLY_SUCCEEDED,
    JobState.JOB_STATE_FAILED,
}
# A row's status begins with what an HTTP status is called; texts behind it may quote the request.
_FAULTS = (
    ("bad request", FaultClass.INVALID_REQUEST),
    ("invalid", FaultClass.INVALID_REQUEST),
    ("permission denied", FaultClass.AUTHENTICATION),
    ("resource exhausted", FaultClass.RATE_LIMITED),
    ("too many requests", FaultClass.RATE_LIMITED),
)


def request_line(custom_id: str, request: Request) -> bytes:
    """One request: the message that a single call sends, as JSON, with a label by which its answer is known.

    Raises:
        ProviderError: INVALID_REQUEST, never sent.
    """
    message = generate_request(request, "")
    values: dict[str, Any] = GenerateContentRequest.to_dict(
        message,
        use_integers_for_enums=False,
        preserving_proto_field_name=False,
        always_print_fields_with_no_presence=False,
    )
    values.pop("model", None)
    values["labels"] = {**values.get("labels", {}), CALL_LABEL: custom_id}
    return orjson.dumps({"request": values})


def parse_lines(data: bytes, bounds: Mapping[str, TokenBounds]) -> list[LineResult]:
    """The results in a file of predictions. Lines that carry no label of the job are passed over.

    Raises:
        ProviderError: MALFORMED; the file is not whole.
    """

    def read_line(told: Any) -> LineResult | None:
        try:
            custom_id = told["request"]["labels"][CALL_LABEL]
        except (LookupError, TypeError):
            return None
        if not isinstance(custom_id, str) or custom_id not in bounds:
            return None
        return _result(custom_id, told, bounds[custom_id])

    return read_results(data, read_line, CALL_LABEL, bounds)


def status_of(job: BatchPredictionJob) -> JobStatus:
    """A job object."""
    state = job.state
    stats = job.completion_stats
    done, failed = int(stats.successful_count), int(stats.failed_count)
    incomplete = max(0, int(stats.incomplete_count))
    counted = BatchPredictionJob.pb(job).HasField("completion_stats")
    folder = job.output_info.gcs_output_directory
    return JobStatus(
        id=job.name,
        state=JobState(state).name,
        ended=state in _ENDED,
        cut_short=state in _CUT_SHORT,
        failed=state == JobState.JOB_STATE_FAILED,
        counts=ProviderCounts(done + failed + incomplete, done, failed) if counted else None,
        outputs=(folder,) if folder else (),
        problem=f"code {job.error.code}" if state == JobState.JOB_STATE_FAILED else None,
    )


def _result(custom_id: str, told: Mapping[str, Any], bound: TokenBounds) -> LineResult:
    status, response = told.get("status"), told.get("response")
    if status or not isinstance(response, dict) or not response:
        fault = next((fault for text, fault in _FAULTS if text in str(status).lower()[:200]), FaultClass.SERVER)
        return LineResult(custom_id, error=ProviderError("the row was refused by batch prediction", fault=fault))
    try:
        message = GenerateContentResponse()
        ParseDict(response, GenerateContentResponse.pb(message), ignore_unknown_fields=True)
        answer = parse_answer(message, bound.input_tokens, bound.output_tokens)
    except ParseError:
        malformed = ProviderError("the answer is no response of the model", fault=FaultClass.MALFORMED)
        return LineResult(custom_id, error=malformed)
    except ProviderError as error:
        return LineResult(custom_id, error=error)
    return LineResult(custom_id, answer=answer)
