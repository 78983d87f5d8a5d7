"""Reading a database URL: which database it names, with its secrets taken out of what is ever shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import ConfigurationError

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
POSTGRESQL_DRIVER = "postgresql+psycopg"

FIELD = "ledger"
_MEND = (
    "Write sqlite:///path/to/file.db or postgresql+psycopg://user:password@host:5432/name, "
    "with reserved characters %-escaped."
)
_SPELLINGS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": POSTGRESQL_DRIVER,
    "postgresql": POSTGRESQL_DRIVER,
    "postgresql+psycopg": POSTGRESQL_DRIVER,
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL this program can open.

    Attributes:
        url: for the engine; only its `password` part may be secret.
        secrets: connection arguments that came as URL query and must not be shown (`sslpassword`).
    """

    url: URL = field(repr=False)
    secrets: dict[str, str] = field(repr=False, default_factory=dict)

    @property
    def shown(self) -> str:
        """The URL for people and logs: passwords are `***`."""
        return self.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """SQLite rather than PostgreSQL."""
        return self.url.get_backend_name() == SQLITE

    @property
    def path(self) -> Path | None:
        """The SQLite file; None in memory and on PostgreSQL."""
        name = self.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    def scrub(self, text: str) -> str:
        """`text` without this URL's secrets, should a driver's message quote one."""
        hidden = [str(self.url.password or ""), *self.secrets.values()]
        for secret in sorted((value for value in hidden if value), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def parse_database_url(text: str) -> DatabaseUrl:
    """Read `text`; a bare `postgresql://` (or `postgres://`) means psycopg 3.

    Raises:
        ConfigurationError: not a URL of SQLite or of PostgreSQL through psycopg 3. The URL itself is never quoted.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError("The database URL cannot be read.", field=FIELD, mend=_MEND) from None
    driver = _SPELLINGS.get(url.drivername)
    if driver is None:
        raise ConfigurationError(
            f"The database URL names {url.drivername!r}, which is not supported.", field=FIELD, mend=_MEND
        )
    if driver == SQLITE:
        return DatabaseUrl(_sqlite(url.set(drivername=driver)))
    return _postgresql(url.set(drivername=driver))


def _sqlite(url: URL) -> URL:
    if url.host or url.password:
        raise ConfigurationError(
            "The SQLite URL names a host.",
            field=FIELD,
            mend="Use three slashes for a relative path, four for an absolute one.",
        )
    name = url.database
    if not name or name == ":memory:":
        return url
    if name.startswith("file:"):
        raise ConfigurationError(
            "The SQLite URL names a file: URI.", field=FIELD, mend="Write the plain path of the file."
        )
    return url.set(database=str(Path(name).absolute()))  # a later chdir must not change which database is meant


def _postgresql(url: URL) -> DatabaseUrl:
    """Move what the query hides (`?password=`) to where it is masked."""
    query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    password = query.get("password", url.password)
    secrets = {key: value for key, value in query.items() if "password" in key and key != "password"}
    kept = {key: value for key, value in url.query.items() if "password" not in key}
    return DatabaseUrl(url.set(query=kept, password=password), secrets)
