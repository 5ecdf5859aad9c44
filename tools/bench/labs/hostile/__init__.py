"""`make bench-hostile`: attacks on a running worker, and faults under load."""
