"""The measurements. Each has `run(setup) -> Report`."""
