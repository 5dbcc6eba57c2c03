"""What can be set about a run: the parameters, their checks and their files."""
