"""Experiments with real processes: memory limits, attacks, threads, a GPU, many pools."""
