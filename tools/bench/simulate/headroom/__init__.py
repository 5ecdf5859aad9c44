"""A simulator over the real planner: GPUs with strangers, drift, noise, delay, boots and deaths."""
