"""The paths of the old bot server, for dashboards that were written for it.

Nothing here is imported unless `legacy_paths` is set. A connection of an old dashboard is an
ordinary session that follows ordinary channels; what is its own is the language: what it says
becomes commands (`commands`), and what it is told is translated on its way out (`dialect`). So
rights, bounds, back-pressure and repair are those of every other connection. docs/legacy.md is the
language, and tests/docs/test_legacy_doc.py holds it against this folder.
"""
