"""Import paths of the original package; ``lionpride.compat`` has the code."""
