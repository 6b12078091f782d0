"""Where producers read from, found by the entry points of `tapecast.sources`."""
