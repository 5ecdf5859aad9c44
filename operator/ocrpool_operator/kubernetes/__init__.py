"""The shell around the planner in a cluster: kopf handlers, pods, status."""
