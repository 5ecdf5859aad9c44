"""Days of a simulated pool: how many workers the real planner has, page by page, against others."""
