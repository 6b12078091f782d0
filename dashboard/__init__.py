"""What builds the dashboard and hands it to the hub. The standard library alone: builds run it."""
