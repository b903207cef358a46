"""The worker of test_backup.py: it runs one event after another."""

from held import add, held

from lionpride import Executor

crawler = Executor.of(held, add, queue="crawl", concurrency_limit=1)
