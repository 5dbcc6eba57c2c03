"""Many ordinary runs over a space of parameters."""
