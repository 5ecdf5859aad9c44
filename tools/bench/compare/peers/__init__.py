"""The alternatives that ocrpool is compared with, each a process of its own."""
