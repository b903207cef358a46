"""What things are: plain data, with no loop and no I/O."""
