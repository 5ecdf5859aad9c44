"""The shell around the planner on one machine, without a cluster."""
