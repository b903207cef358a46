"""The shared part of the stores over a database: operations, row shapes, local events."""
