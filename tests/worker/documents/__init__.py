"""Kinds of documents that users of OCR programs have reported, generated for docs/documents.md."""
