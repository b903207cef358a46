"""Collections of elements: an order of ids, a set with an order, and both with named orders."""
