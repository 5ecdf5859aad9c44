"""One round for one pool: observe, plan, act, report."""
