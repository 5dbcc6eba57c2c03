"""The command lines: parse, call, print; nothing else."""
