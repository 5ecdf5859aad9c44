"""Kinds of documents that users of OCR programs have reported, made again: docs/documents.md."""
