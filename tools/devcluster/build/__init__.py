"""Builds the programs of a cluster once, and finds them again."""
