"""What ocrpool is measured against, each a process of its own."""
