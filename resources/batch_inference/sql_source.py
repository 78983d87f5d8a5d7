"""Rows that a database's query gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from domain.errors import ConfigurationError, InputError
from resources.batch_inference.sources import ROWS_AT_ONCE
from resources.catalog.sources.reading import RawRow


class SqlSource:
    """A query on a database that SQLAlchemy reaches, fetched in pieces.

    Args:
        query: one SELECT, sent as it is written.
        url: a URL without a password, or
        variable: the environment variable that holds a URL; it is read when the rows are, and never stored or shown.
    """

    def __init__(
        self,
        query: str,
        *,
        url: str | None = None,
        variable: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Name query and database.

        Raises:
            InputError: neither or both of `url` and `variable` are given, or `url` holds a password.
        """
        if (url is None) == (variable is None):
            raise InputError(
                "a query needs one database", field="url", mend="name a URL or an environment variable that holds one."
            )
        if url is not None and _parsed(url).password is not None:
            raise InputError(
                "the URL holds a password",
                field="url",
                mend="put the URL into an environment variable and name that instead.",
            )
        self._query = query
        self._url = url
        self._variable = variable
        self._environ = environ

    @property
    def shown(self) -> dict[str, Any]:
        """The query, and which database was asked."""
        where = {"variable": self._variable} if self._variable else {"url": self._url}
        return {"kind": "query", "query": self._query, **where}

    def rows(self) -> Iterator[RawRow]:
        """The rows in the order in which the database gives them.

        Raises:
            ConfigurationError: the variable is not set, or the URL's driver is not installed.
            InputError: the database cannot be reached or refuses the query.
        """
        engine = self._engine()
        # With parameters, of which there are none, psycopg would take a % for the beginning of one.
        options = {"stream_results": True, "yield_per": ROWS_AT_ONCE, "no_parameters": True}
        number = 0
        try:
            with engine.connect().execution_options(**options) as connection:
                for row in connection.exec_driver_sql(self._query).mappings():
                    number += 1
                    yield RawRow(number, dict(row))
        except SQLAlchemyError as error:
            # Its own text may quote the URL.
            cause = getattr(error, "orig", None)
            raise InputError(
                f"the query failed at row {number + 1}: {type(cause or error).__name__}: {cause or ''}".rstrip(": "),
                field="query",
                mend="try it in the database's own client.",
            ) from None
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        url = self._given_url()
        try:
            return create_engine(url, hide_parameters=True)
        except ImportError as error:
            missing = error.name or url.drivername
            raise ConfigurationError(
                f"the driver of {url.drivername}:// cannot be loaded: {error}",
                field=self._field,
                mend=f"install {missing} beside Promptory, or name another driver.",
            ) from None
        except NoSuchModuleError as error:
            raise ConfigurationError(
                f"{url.drivername}:// names no driver that is installed: {error}",
                field=self._field,
                mend="install the package with that driver, or write a URL like postgresql+psycopg://user@host/database.",
            ) from None

    @property
    def _field(self) -> str:
        return "url" if self._variable is None else "variable"

    def _given_url(self) -> URL:
        if self._url is not None:
            return _parsed(self._url)
        value = self._environ.get(str(self._variable))
        if not value:
            raise ConfigurationError(
                f"the environment variable {self._variable} is not set",
                field="variable",
                mend=f"export {self._variable}=….",
            )
        return _parsed(value)


def _parsed(text: str) -> URL:
    try:
        return make_url(text)
    except ArgumentError:
        raise InputError(
            "this is no SQLAlchemy URL", field="url", mend="write one like postgresql+psycopg://user@host/database."
        ) from None
