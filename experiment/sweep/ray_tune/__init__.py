"""A sweep's trials on Ray Tune: the only place that imports Ray and Optuna."""
