"""How many instances one worker runs."""
