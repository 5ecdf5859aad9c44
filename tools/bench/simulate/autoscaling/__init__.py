"""Simulated days of a pool: how many workers the real planner and other policies choose."""
