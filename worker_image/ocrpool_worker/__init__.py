"""The worker: several isolated OCR processes on one device, behind one HTTP server."""
