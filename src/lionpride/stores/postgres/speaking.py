"""Errors of the server and of the way to it: what may be tried again, and how to say the rest."""

from __future__ import annotations

import ssl
from typing import Final

import asyncpg

from ...errors import StoreError

__all__ = ("ANEW", "LOST", "explained", "is_read_only", "is_tls_refused", "lost")

LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,  # it cannot be reached; TimeoutError is one too
    asyncpg.PostgresConnectionError,  # 08: the connection was lost
    asyncpg.OperatorInterventionError,  # 57P: shut down, terminated, not ready yet
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was stopped in the midst of one
    asyncpg.InternalClientError,  # the connection was lost in the midst of an answer
    asyncpg.ReadOnlySQLTransactionError,  # after a failover: another server is the primary now
)
"""The server may be there again in a moment."""

_TLS_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""The connection was lost in the middle of TLS."""

ANEW: Final[tuple[type[BaseException], ...]] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
"""Nothing was done, and the very same may be done at once."""


def lost(error: BaseException) -> bool:
    """Whether an error says that the connection is no good, and that another may be."""
    if isinstance(error, StoreError):
        return error.retryable  # it is an OSError too, and says itself whether to try again
    if isinstance(error, asyncpg.QueryCanceledError):
        return False  # somebody has cancelled this one statement, or it took longer than is allowed
    if is_tls_refused(error):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error)  # the connection is closed, or was in the middle of it
    return isinstance(error, LOST)


def is_read_only(error: BaseException) -> bool:
    """Return True if the server refused to write: it is a standby by now, or fenced off."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def is_tls_refused(error: BaseException) -> bool:
    """Return True if the two sides cannot agree on TLS, which no later time changes."""
    if isinstance(error, ssl.SSLError):  # an OSError
        return not isinstance(error, _TLS_CUT)
    return type(error) is ConnectionError and "rejected SSL" in str(error)  # asyncpg's own


def explained(error: BaseException, where: str) -> StoreError:
    """The error for who waits, which says what to do."""
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
    elif lost(error):
        text, again = f"{where} cannot be reached: {str(error) or type(error).__name__}", True
    else:
        text, again = f"{where}: {error}", False
    return StoreError(text, retryable=again, cause=_plain(error))


def _plain(error: BaseException) -> Exception | None:
    return error if isinstance(error, Exception) else None
