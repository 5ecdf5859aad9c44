"""Build once and find again: the programs that a cluster is made of."""
