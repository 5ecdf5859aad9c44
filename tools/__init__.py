"""Commands of the repository: test cluster, benchmarks, generators. Not part of the product."""
