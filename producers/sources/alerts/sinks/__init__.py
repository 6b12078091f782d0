"""Where alerts are delivered: a module for each kind of sink, and `kinds`, which lists them."""
