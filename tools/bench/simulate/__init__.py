"""Simulations of the real planner: GPU memory over hours, worker pods over days."""
