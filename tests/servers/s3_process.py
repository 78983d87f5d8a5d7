"""The process of `S3Server`: moto's S3 behind a counter of requests. Prints its port when it listens.

What only tests ask stands below `/_tests/`, which is no bucket's name.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
Start = Callable[..., Any]


class Counted:
    """moto's application. Counts requests by operation; can hold uploads back, or refuse everything."""

    def __init__(self) -> None:
        self._app = create_backend_app("s3")
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._refuse: int | None = None

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/_tests/"):
            return self._control(environ, start)
        operation = operation_of(environ)
        with self._lock:
            self._counts[operation] += 1
        if self._refuse is not None:
            start(f"{self._refuse} Refused", [("Content-Type", "application/xml")])
            error = b"<Error><Code>ServiceUnavailable</Code><Message>not now</Message></Error>"
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [error]
        if operation in ("PutObject", "UploadPart", "CompleteMultipartUpload"):
            self._open.wait()
        return self._app(environ, start)

    def _control(self, environ: Environ, start: Start) -> Iterable[bytes]:
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
        answer: Any = None
        match environ["PATH_INFO"].removeprefix("/_tests/"):
            case "counts":
                with self._lock:
                    answer = dict(self._counts)
            case "fill":
                backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
                for number in range(int(asked["count"])):
                    name = asked["name"].format(number)
                    backend.put_object(asked["bucket"], name, asked["text"].format(number).encode())
            case "hold":
                self._open.clear()
            case "release":
                self._open.set()
            case "refuse":
                self._refuse = int(asked["status"]) or None
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


def operation_of(environ: Environ) -> str:
    """The API's name of what is asked; only those that the tests count."""
    method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    has_key = "/" in environ["PATH_INFO"].strip("/")
    if method == "GET" and not has_key:
        return "ListObjectsV2" if "list-type" in query else "GetBucket"
    if method == "PUT" and has_key:
        return "UploadPart" if "partNumber" in query else "PutObject"
    if method == "POST":
        if "delete" in query:
            return "DeleteObjects"
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    return {"GET": "GetObject", "HEAD": "HeadObject" if has_key else "HeadBucket", "DELETE": "DeleteObject"}.get(
        method, method
    )


def main() -> None:
    """Serve until killed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # nobody reads a line per request
    server = make_server("127.0.0.1", 0, Counted(), threaded=True)
    print(server.server_port, flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
