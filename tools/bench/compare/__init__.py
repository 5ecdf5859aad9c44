"""The measurements of `make bench`. Each module has `run(setup) -> Report`."""
