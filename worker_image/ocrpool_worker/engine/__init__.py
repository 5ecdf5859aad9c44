"""OCR engines: what one is, how it is found, and what its errors mean."""
