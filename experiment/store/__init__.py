"""What is kept of runs: directories and archives."""
