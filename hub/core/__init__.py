"""What decides, without I/O: time is an argument, effects are returned."""
