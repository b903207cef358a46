"""``lionpride run``: a batch of events from lines of input."""
