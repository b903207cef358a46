"""The store of a command line, its queues, and the names of events."""
