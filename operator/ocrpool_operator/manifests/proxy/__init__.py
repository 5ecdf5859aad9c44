"""The front of a pool: HAProxy before its workers, made from `spec.front`."""
