"""A store around a store: what mutants are made of."""

from typing import Any

from lionpride.stores.contract import Store


class Wrapped:
    """A store that passes everything on, and has the verbs of the contract alone."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_now"):
            raise AttributeError(name)
        return getattr(self.inner, name)
