"""Settings of a role that would spoil the transactions of a queue, and functions that do."""

HOSTILE = {
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "statement_timeout": "'500ms'",
    "lock_timeout": "'20ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "idle_session_timeout": "'500ms'",
    "transaction_timeout": "'500ms'",
    "search_path": "evil, pg_catalog",
    "row_security": "off",
    "enable_indexscan": "off",
    "plan_cache_mode": "'force_custom_plan'",
}
EVIL = """
CREATE SCHEMA IF NOT EXISTS evil;
CREATE OR REPLACE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT timestamptz '1970-01-01' $$;
CREATE OR REPLACE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'evil'; END $$;
CREATE OR REPLACE FUNCTION evil.greatest(float8, float8) RETURNS float8 LANGUAGE sql
    AS $$ SELECT 0::float8 $$;
"""
"""Functions that a path with ``pg_catalog`` at its end finds before the server's own."""
