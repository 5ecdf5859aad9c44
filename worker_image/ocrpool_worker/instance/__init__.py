"""What runs inside an instance: one engine in a process of its own, one page at a time."""
