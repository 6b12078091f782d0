"""Each variant of the core that breaks a rule fails a check of tests/core."""

from __future__ import annotations

import pytest

from tests.mutants.variants import VARIANTS, Variant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_check_bites(variant: Variant) -> None:
    """A checker that finds nothing in a broken core would prove nothing in a sound one."""
    assert variant.caught() is not None
