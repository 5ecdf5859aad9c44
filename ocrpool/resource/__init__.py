"""The OcrPool resource as types; the CRD and docs/api.md are generated from them."""
