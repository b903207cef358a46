"""What a command line runs: the classes that TARGET names, and their executor."""
