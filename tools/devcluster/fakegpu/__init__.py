"""Fake GPUs: a device plugin, and a fake NVML driver library."""
