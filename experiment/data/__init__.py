"""What is trained on: arrays, pictures, splits."""

from experiment.data.arrays import Arrays
from experiment.data.named_sets import load_arrays
from experiment.data.splits import Dataset, split_arrays

__all__ = ["Arrays", "Dataset", "load_arrays", "split_arrays"]
