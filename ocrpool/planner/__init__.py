"""Policy: observations in, decisions and their reasons out. No I/O, no clock, no framework.

`instances/plan.py` decides the number of instances of a worker, `workers/autoscaling.py` the number
of workers, `workers/plan.py` what happens to each pod, and `status/` what the status reports.
"""
