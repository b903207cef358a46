"""Benchmarks against other libraries: ``python -m benchmarks`` from the root of the repository.

Each question has a module. Each measurement runs in a process of its own.
"""
