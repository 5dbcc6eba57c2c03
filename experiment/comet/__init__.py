"""Comet: the experiment of a run, its server, uploads."""
