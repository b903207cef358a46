"""Data: elements, events, their state and their collections. No event loop and no I/O."""
