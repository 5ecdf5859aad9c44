"""Policy: observations in, decisions and their reasons out. No I/O, no clock, no framework."""
