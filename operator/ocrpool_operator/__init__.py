"""The operator: keeps the workers and instances of every OcrPool as its spec asks for.

`ocrpool.planner` decides, without I/O. Here `cluster` reads and writes the cluster, `manifests`
makes the objects, and `reconcile` carries the decisions out.
"""
