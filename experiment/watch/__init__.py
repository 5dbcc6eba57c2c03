"""Runs looked at while they train."""
