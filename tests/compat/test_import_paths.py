"""The import paths of the original's services lead to the classes of ``lionpride.compat``."""

import importlib

import pytest

from lionpride import compat

PATHS = {
    "lionpride.services.execution": ("RateLimitedExecutor", "RateLimitedProcessor"),
    "lionpride.services.execution.rate_limited": ("RateLimitedExecutor", "RateLimitedProcessor"),
    "lionpride.services.utilities": ("RateLimitConfig", "TokenBucket"),
    "lionpride.services.utilities.rate_limiter": ("RateLimitConfig", "TokenBucket"),
}


@pytest.mark.parametrize("path", PATHS)
def test_an_import_path_of_the_original_has_the_same_classes(path: str) -> None:
    module = importlib.import_module(path)
    assert set(module.__all__) == set(PATHS[path])
    for name in PATHS[path]:
        assert getattr(module, name) is getattr(compat, name)
