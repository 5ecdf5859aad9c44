"""The types of the OcrPool resource. The CRD and docs/api.md are generated from them."""
