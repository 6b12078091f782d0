"""The build hook: a wheel, an editable install and an sdist carry the dashboard where it can be
built, and the reason why not is said where it can't. An sdist that carries it installs without
Node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface[Any]):
    """Called by hatchling for each target, before it looks which files there are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # Hatchling loads this file by its path alone.
        sys.path.insert(0, self.root)
        try:
            from dashboard.shipping import ShippingError, ship
        finally:
            sys.path.remove(self.root)
        try:
            ship(Path(self.root), os.environ, self.app.display_info)
        except ShippingError as error:
            self.app.abort(str(error))
