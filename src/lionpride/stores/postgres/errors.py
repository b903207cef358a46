"""Classification of server and connection errors, and their messages."""

from __future__ import annotations

import ssl
from typing import Final

import asyncpg

from ...errors import StoreError

__all__ = ("LOST", "REPEAT", "is_connection_lost", "is_read_only", "is_tls_refused", "store_error")


LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,  # the server cannot be reached; TimeoutError is a subclass
    asyncpg.PostgresConnectionError,  # 08: the connection was lost
    asyncpg.OperatorInterventionError,  # 57P: shut down, terminated, not ready yet
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was stopped in a transaction
    asyncpg.InternalClientError,  # the connection was lost during an answer
    asyncpg.ReadOnlySQLTransactionError,  # after a failover: another server is the primary now
)
"""Errors after which the server may be available again soon."""

_TLS_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Errors of TLS after which a new connection may succeed."""

REPEAT: Final[tuple[type[BaseException], ...]] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
"""Errors after which nothing was changed, and the statement can be repeated at once."""


def is_connection_lost(error: BaseException) -> bool:
    """Return True if the connection is unusable and another connection may work."""
    if isinstance(error, StoreError):
        return error.retryable  # checked before LOST, as a StoreError is an OSError
    if isinstance(error, asyncpg.QueryCanceledError):
        return False  # only this statement was cancelled, or exceeded a time limit
    if is_tls_refused(error):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error)  # the connection is closed or closing
    return isinstance(error, LOST)


def is_read_only(error: BaseException) -> bool:
    """Return True if the server is read-only: it has become a standby, or was set so."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def is_tls_refused(error: BaseException) -> bool:
    """Return True if TLS cannot be negotiated, so that a repetition fails as well."""
    if isinstance(error, ssl.SSLError):  # an OSError
        return not isinstance(error, _TLS_CUT)
    return type(error) is ConnectionError and "rejected SSL" in str(error)  # asyncpg's own


def store_error(error: BaseException, where: str) -> StoreError:
    """Return the error for the caller, with a remedy."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        text, again = f"{where} refused the login: {error}; check user and password", False
    elif isinstance(error, asyncpg.InvalidCatalogNameError):
        text, again = f"{where}: {error}: create the database first", False
    elif isinstance(error, asyncpg.InsufficientPrivilegeError):
        text = f"{where}: {error}: grant it to this user, or name a schema that is the user's own"
        again = False
    elif isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        text = f"{where}: {error}: the tables are not those of this version, or were dropped"
        again = False
    elif isinstance(error, asyncpg.DiskFullError):
        text, again = f"{where}: the server's disk is full: nothing of this step was written", True
    elif is_read_only(error):
        text = f"{where} cannot be written: it is a standby, or default_transaction_read_only is "
        text += "on; give the address of the primary, or reset that setting"
        again = True
    elif is_tls_refused(error):
        text = f"{where}: TLS failed: {error}: check sslmode and the certificates in the URL, and "
        text, again = text + "whether the server offers TLS", False
    elif is_connection_lost(error):
        text, again = f"{where} cannot be reached: {str(error) or type(error).__name__}", True
    else:
        text, again = f"{where}: {error}", False
    return StoreError(text, retryable=again, cause=_plain(error))


def _plain(error: BaseException) -> Exception | None:
    return error if isinstance(error, Exception) else None
