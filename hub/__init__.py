"""Tapecast's hub: protocol and core decide, broker and server carry out."""

__version__ = "0.1.0"
