"""GPUs for a machine without any: a device plugin, and a stand-in NVML driver library."""
