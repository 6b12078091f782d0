"""A paper-trading agent on a market that exists only here."""

from producers.sources.paper.source import PaperSource

__all__ = ["PaperSource"]
