"""Elements and events as JSON, and back."""
