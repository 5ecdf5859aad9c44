"""How many instances one worker runs. The rule is in `plan.py`."""
