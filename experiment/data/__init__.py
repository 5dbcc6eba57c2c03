"""What is trained on: arrays, pictures, splits."""
