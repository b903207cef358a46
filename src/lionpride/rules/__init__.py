"""What may happen next: pure and synchronous; time is an argument."""
