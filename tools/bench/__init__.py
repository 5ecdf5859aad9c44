"""Side-by-side measurements, each a command, and the demo. None of it is part of the product."""
