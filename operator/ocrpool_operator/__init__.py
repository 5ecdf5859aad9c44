"""The operator: decides how many workers and instances there should be, and makes it so.

`planner` is policy and pure; `kubernetes` and `local` are two shells around it; `api` is the
OcrPool resource, written once.
"""
