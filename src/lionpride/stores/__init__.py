"""Where events are kept: one contract, and stores that do not know each other."""
