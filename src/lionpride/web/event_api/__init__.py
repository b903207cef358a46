"""HTTP operations on the events of an executor, for Starlette and FastAPI."""
