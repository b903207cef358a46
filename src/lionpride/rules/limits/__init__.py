"""Limits: costs per time or at once, the account of their use, and claims under them."""
