"""The machine, the terminal, the command line."""
