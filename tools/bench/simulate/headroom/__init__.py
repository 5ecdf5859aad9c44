"""A simulator over the real planner: GPUs with other processes, drift, noise, starts and exits."""
