"""Keeps the instances of one worker alive and gives them their pages."""
