"""This pipeline beside its peers, in one run, as ratios."""
