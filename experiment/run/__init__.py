"""One tracked run: its story, its frame, what is logged of it."""

from experiment.run.story import Options, train_and_evaluate

__all__ = ["Options", "train_and_evaluate"]
