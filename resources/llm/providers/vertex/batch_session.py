"""The job service over REST and Cloud Storage, behind one set of credentials. Loads Google's libraries; blocks."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import TransportError
from google.cloud import storage
from google.cloud.aiplatform_v1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1.types import (
    BatchPredictionJob,
    GcsDestination,
    GcsSource,
    ListBatchPredictionJobsRequest,
)

from domain.errors import ConfigurationError, ProviderError
from resources.llm.batch_api import JobStatus
from resources.llm.providers.http_faults import status_error
from resources.llm.providers.vertex.batch_lines import status_of
from resources.llm.providers.vertex.batches import unreachable
from resources.llm.providers.vertex.credentials import default_credentials
from resources.llm.providers.vertex.names import Target, model_path
from resources.llm.providers.vertex.options import VertexOptions

JOB_LABEL = "promptory_job"
EXPECTED = (GoogleAPICallError, TransportError, requests.RequestException)
PAGE = 100
MOST_SINGLE_LOOKS = 3
TIMEOUT_S = 60.0
TRANSFER_TIMEOUT_S = 600.0
_ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT_S}
_TRANSFER: dict[str, Any] = {"retry": None, "timeout": TRANSFER_TIMEOUT_S}


def open_batch_session(target: Target, options: VertexOptions, credentials: Credentials | None) -> BatchSession:
    """A session; connects with its first step.

    Raises:
        ProviderError: AUTHENTICATION, never sent; the machine has no credentials.
        ConfigurationError: no project is known.
    """
    scheme = "https" if target.encrypted else "http"
    url = options.batch_url or f"{scheme}://{target.address}"
    project = target.project
    if url.startswith("http://"):
        credentials = AnonymousCredentials()  # no token ever travels unencrypted
    elif credentials is None:
        credentials, named = default_credentials()
        project = project or named
    if not project:
        raise ConfigurationError(
            "no project is known to bill",
            field="endpoints.vertex.project",
            mend="set project; these credentials do not name one.",
        )
    jobs = JobServiceClient(credentials=credentials, transport="rest", client_options=ClientOptions(api_endpoint=url))
    place: dict[str, Any] = (
        {} if options.storage_url is None else {"client_options": ClientOptions(api_endpoint=options.storage_url)}
    )
    files = storage.Client(project=project, credentials=credentials, **place)
    return BatchSession(jobs, files, project, target.location)


class BatchSession:
    """One project in one location."""

    def __init__(self, jobs: JobServiceClient, files: storage.Client, project: str, location: str) -> None:
        self._jobs = jobs
        self._files = files
        self._project = project
        self._location = location

    def write(self, file: str, data: bytes) -> None:
        """Store `data` at a gs:// URL."""
        blob = storage.Blob.from_uri(file, client=self._files)
        blob.upload_from_string(data, content_type="application/jsonl", **_TRANSFER)

    def exists(self, file: str) -> bool:
        """Whether something is stored there."""
        return storage.Blob.from_uri(file, client=self._files).exists(**_ONCE)

    def read_all(self, folder: str) -> list[bytes]:
        """The files of predictions below a gs:// URL."""
        found: list[bytes] = []
        for blob in self._below(folder):
            name = str(blob.name).rpartition("/")[2]
            if name.endswith(".jsonl") and "predictions" in name:
                found.append(blob.download_as_bytes(**_TRANSFER))
        return found

    def remove_all(self, folder: str) -> None:
        """Delete everything below a gs:// URL."""
        for blob in self._below(folder):
            blob.delete(**_ONCE)

    def create(self, job: str, file: str, results: str, model: str) -> JobStatus:
        """Begin a job over `file`."""
        name = model_path(model, self._project, self._location)
        publisher = name.partition(f"locations/{self._location}/")[2]
        values = BatchPredictionJob(
            display_name=f"promptory-{job}",
            model=publisher if publisher.startswith("publishers/") else name,
            labels={JOB_LABEL: job},
            input_config=BatchPredictionJob.InputConfig(instances_format="jsonl", gcs_source=GcsSource(uris=[file])),
            output_config=BatchPredictionJob.OutputConfig(
                predictions_format="jsonl", gcs_destination=GcsDestination(output_uri_prefix=results)
            ),
        )
        return status_of(
            self._jobs.create_batch_prediction_job(parent=self._parent, batch_prediction_job=values, **_ONCE)
        )

    def find(self, job: str) -> JobStatus | None:
        """The job with our label."""
        request = ListBatchPredictionJobsRequest(
            parent=self._parent, filter=f'labels.{JOB_LABEL}="{job}"', page_size=PAGE
        )
        for found in self._jobs.list_batch_prediction_jobs(request=request, **_ONCE):
            if found.labels.get(JOB_LABEL) == job:
                return status_of(found)
        return None

    def statuses(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """Jobs by name; one that does not exist is left out."""
        wanted = set(ids)
        found: dict[str, JobStatus] = {}
        if len(wanted) > MOST_SINGLE_LOOKS:
            request = ListBatchPredictionJobsRequest(parent=self._parent, page_size=PAGE)
            listed = self._jobs.list_batch_prediction_jobs(request=request, **_ONCE)
            for number, page in enumerate(listed.pages):
                found |= {job.name: status_of(job) for job in page.batch_prediction_jobs if job.name in wanted}
                if len(found) == len(wanted) or number > len(wanted) // PAGE:
                    break
        for name in sorted(wanted - found.keys()):
            try:
                found[name] = status_of(self._jobs.get_batch_prediction_job(name=name, **_ONCE))
            except NotFound:
                continue
        return found

    def cancel(self, name: str) -> None:
        """Ask for a job's end."""
        self._jobs.cancel_batch_prediction_job(name=name, **_ONCE)

    def close(self) -> None:
        """Close the connections."""
        self._jobs.transport.close()
        self._files.close()

    @property
    def _parent(self) -> str:
        return f"projects/{self._project}/locations/{self._location}"

    def _below(self, folder: str) -> list[storage.Blob]:
        bucket, _, prefix = folder.removeprefix("gs://").partition("/")
        return list(self._files.list_blobs(bucket, prefix=prefix.rstrip("/") + "/", **_ONCE))


def as_provider_error(error: Exception) -> ProviderError:
    """The error for a step that failed; Google's texts may quote what was asked."""
    if isinstance(error, GoogleAPICallError) and error.code is not None:
        return status_error(int(error.code), {}, b"", time.time())
    timeout = isinstance(error, requests.Timeout)
    return unreachable(type(error).__name__, timeout=timeout, never_sent=isinstance(error, requests.ConnectTimeout))
