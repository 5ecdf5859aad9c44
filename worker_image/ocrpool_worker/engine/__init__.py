"""OCR engines: their interface, the built-in ones, and what their errors mean.

A new engine is a class that follows `Engine` and `EngineFactory` in `engine/base.py`. A package
registers it as an entry point of the group `ocrpool.engines`:

    [project.entry-points."ocrpool.engines"]
    mine = "my_package:MyEngine"

`engine.name: mine` in the settings selects it; `module:attribute` selects a class without an
entry point. Two are built in: `paddleocr` (`engine/paddleocr_engine.py`) and `noop`
(`engine/noop.py`, the smallest example). To test a new engine, copy `tests/worker/shown.py` (an
engine of ten lines) and the set-up of `tests/worker/test_document_matrix.py`, which runs a worker
with it.
"""
