"""What stores over a database share: the shapes of rows, and the events that a process holds."""
