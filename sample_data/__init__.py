"""A simulated county. Everyone in it is invented."""
