"""Where a model lives: hosts and resource names, from settings and the name after `vertex/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from domain.errors import ConfigurationError, FaultClass, ProviderError

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings

GLOBAL = "global"
HOST = "aiplatform.googleapis.com"


class Target(NamedTuple):
    """`host:port` to reach, encrypted or not, and the cloud project and region every name starts with."""

    address: str
    encrypted: bool
    project: str | None
    location: str


def target_of(settings: EndpointSettings | None) -> Target:
    """Where `settings` point.

    Raises:
        ConfigurationError: the location is missing, or something is set that Vertex AI does not use.
    """
    if settings is None or not settings.location:
        raise ConfigurationError(
            "models named vertex/… need a location",
            field="endpoints.vertex.location",
            mend="set location (a region such as europe-west4, or global), and project unless the credentials name it.",
        )
    _refuse_unused(settings)
    url = urlsplit(settings.base_url or f"https://{_host(settings.location)}")
    encrypted = url.scheme == "https"
    port = url.port or (443 if encrypted else 80)
    return Target(f"{url.hostname}:{port}", encrypted, settings.project, settings.location)


def model_path(model: str, project: str, location: str) -> str:
    """The resource name of `vertex/…`: a Gemini model's name, `publishers/…/models/…` or `endpoints/…`.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; the name has another form.
    """
    name = model.partition("/")[2]
    parts = name.split("/")
    if len(parts) == 1:
        name = f"publishers/google/models/{name}"
    elif not all(parts) or (parts[0], parts[2:3]) not in (("publishers", ["models"]), ("endpoints", [])):
        raise ProviderError(
            f"{model!r} is no name of a Vertex AI model",
            fault=FaultClass.INVALID_REQUEST,
            never_sent=True,
            mend="write vertex/gemini-2.5-flash, vertex/publishers/<name>/models/<model> or vertex/endpoints/<id>.",
        )
    return f"projects/{project}/locations/{location}/{name}"


def _host(location: str) -> str:
    return HOST if location == GLOBAL else f"{location}-{HOST}"


def _refuse_unused(settings: EndpointSettings) -> None:
    unused = [name for name in ("api_key", "headers") if getattr(settings, name)]
    if unused:
        raise ConfigurationError(
            f"Vertex AI does not use {' and '.join(unused)}",
            field=f"endpoints.vertex.{unused[0]}",
            mend="remove it; the key is the machine's application default credentials.",
        )
    if settings.base_url and urlsplit(settings.base_url).path:
        raise ConfigurationError(
            "the base_url of Vertex AI is a host without a path",
            field="endpoints.vertex.base_url",
            mend="write https://host or https://host:port.",
        )
