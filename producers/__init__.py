"""What writes: the publisher, and the workers that run a source."""
