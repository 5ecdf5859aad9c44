"""How many workers a pool runs, and what happens to each pod."""
