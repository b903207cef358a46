"""The store in a PostgreSQL database, which many machines may share."""

from .store import PostgresStore

__all__ = ("PostgresStore",)
