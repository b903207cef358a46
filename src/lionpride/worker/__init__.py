"""A worker in production: health, metrics, logs, recycling, and several processes."""
