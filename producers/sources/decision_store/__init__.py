"""A folder of decision files, as a trading engine writes them."""

from producers.sources.decision_store.source import DecisionStoreSource

__all__ = ["DecisionStoreSource"]
