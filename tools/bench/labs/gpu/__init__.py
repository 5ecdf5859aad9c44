"""The planner on a real GPU."""
