"""The status of a pool: what it reports, and when it changes."""
