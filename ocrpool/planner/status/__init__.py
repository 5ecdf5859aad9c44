"""What the status of a pool reports."""
