"""What is kept of runs: directories and archives."""

from experiment.store.data_frame import frame

__all__ = ["frame"]
