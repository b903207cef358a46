"""What the commands print: streams, tables, displays, and the statistics of a run."""
