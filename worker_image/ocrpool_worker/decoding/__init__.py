"""From the bytes of a request to pages: the one place that decodes images, PDFs and TIFFs.

It runs in the instances only: decoders and PDFium can crash or hang on hostile input, PDFium is
not thread-safe, and the work spreads over the processes.
"""
