"""Access tokens from application default credentials, renewed in a thread when they run out."""

from __future__ import annotations

import asyncio

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.requests import Request

from domain.errors import FaultClass, ProviderError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_MEND = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."


def default_credentials() -> tuple[Credentials, str | None]:
    """The machine's credentials and the project they name. May ask the metadata server; call it in a thread.

    Raises:
        ProviderError: AUTHENTICATION, never sent; there are none.
    """
    try:
        return google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError:
        problem = "there are no application default credentials on this machine"
    raise ProviderError(problem, fault=FaultClass.AUTHENTICATION, never_sent=True, mend=_MEND)


class Tokens:
    """The headers that prove who asks; None sends none (an endpoint of one's own)."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._renewing = asyncio.Lock()

    async def headers(self) -> list[tuple[str, str]]:
        """Headers with a token that is still good.

        Raises:
            ProviderError: never sent; AUTHENTICATION where the token is refused, CONNECTION where nobody answers.
        """
        if self._credentials is None:
            return []
        if not self._credentials.valid:
            async with self._renewing:
                if not self._credentials.valid:
                    await asyncio.to_thread(_renew, self._credentials)
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        return [(name.lower(), value) for name, value in headers.items()]


def _renew(credentials: Credentials) -> None:
    # Google's errors quote the token endpoint's answer: only their kind is passed on.
    try:
        credentials.refresh(Request())
    except TransportError:
        problem, fault = "the endpoint that issues access tokens cannot be reached", FaultClass.CONNECTION
    except GoogleAuthError as error:
        problem, fault = f"no access token is issued ({type(error).__name__})", FaultClass.AUTHENTICATION
    else:
        return
    raise ProviderError(problem, fault=fault, never_sent=True, mend=_MEND)
