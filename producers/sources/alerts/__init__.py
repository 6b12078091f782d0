"""Rules on channels, and where the alerts that they publish are delivered.

    channels -> watched -> engine -> one Redis script -> the log `alerts` -> delivery -> sinks

`rules` are what the file says, `conditions`, `measures`, `machine`, `telling`, `watched` and
`engine` decide; `tenure`, `evaluation`, `delivery` and `sinks` carry out, and `source` puts them
together.
"""

from producers.sources.alerts.source import AlertsSource

__all__ = ["AlertsSource"]
