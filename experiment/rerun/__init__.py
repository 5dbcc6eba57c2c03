"""A run repeated, and whether it came out the same."""
