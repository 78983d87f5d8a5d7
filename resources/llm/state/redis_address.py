"""Where a Redis state store is: the server's URL and the namespace of its keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from domain.errors import ConfigurationError

NAMESPACE = "promptory"
ANSWER_TIMEOUT_S = 5.0
PASSED_ON = frozenset(
    {
        "socket_connect_timeout",
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
MEND = (
    "Write redis://host:port/db, or rediss://… for TLS; ?namespace=… keeps several installations on one server apart."
)
_NAMESPACE_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed `state` URL.

    Attributes:
        url: the server's, as redis-py reads it; may hold a password.
        place: host and port, to be shown.
        root: what all keys begin with; braces make it the hash tag that keeps them in one slot of a cluster.
        answer_timeout_s: longest wait for the answers to one pipeline.
    """

    url: str
    place: str
    root: bytes
    answer_timeout_s: float = ANSWER_TIMEOUT_S


def parse_redis_url(url: str) -> RedisAddress:
    """The address that `redis://[user:password@]host[:port][/db][?namespace=…]` names, or `rediss://` for TLS.

    Raises:
        ConfigurationError: it has no host, or a port, database number, namespace or option that is not one.
    """
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or 6379}"
    except ValueError:
        raise _wrong("The redis URL has no usable host and port.") from None
    if not parts.hostname:
        raise _wrong("The redis URL names no host.")
    if not re.fullmatch(r"(/\d*)?", parts.path):
        raise _wrong("The redis URL's database is not a number.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    namespace = options.pop("namespace", NAMESPACE)
    if not _NAMESPACE_PATTERN.fullmatch(namespace):
        raise _wrong("The redis URL's namespace is not 1 to 64 letters, digits, dots, dashes or underscores.")
    answer_timeout_s = _seconds(options.pop("socket_timeout", str(ANSWER_TIMEOUT_S)))
    unknown = sorted(options.keys() - PASSED_ON)
    if unknown:
        known = ", ".join(sorted({"namespace", "socket_timeout", *PASSED_ON}))
        raise _wrong(f"The redis URL has an unknown option {unknown[0]!r}; known: {known}.")
    plain = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(options), ""))
    return RedisAddress(plain, place, f"{{{namespace}}}".encode(), answer_timeout_s)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise _wrong("The redis URL's socket_timeout is not a number of seconds above 0.")
    return seconds


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(problem, field="state", mend=MEND)
