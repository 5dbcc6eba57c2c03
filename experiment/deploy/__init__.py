"""A trained model in use: predictions and exports."""
