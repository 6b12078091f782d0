"""Deliberately broken variants of the core, and proof that its tests find each of them."""
