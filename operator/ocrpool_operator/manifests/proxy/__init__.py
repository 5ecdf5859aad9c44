"""The proxy of a pool: HAProxy before its workers, made from `spec.proxy`."""
