"""How many worker pods a pool has, and which of them are created, drained and deleted."""
