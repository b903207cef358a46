"""Who runs the events: the only loops, the only clock."""
