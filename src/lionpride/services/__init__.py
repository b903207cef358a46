"""What the original package had under this name, and stands on the core here."""
