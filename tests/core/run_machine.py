"""How the stateful tests are run: on the same examples every time, with no file kept."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run_machine(
    machine: type[RuleBasedStateMachine], examples: int, *, steps: int = 30, shrink: bool = True
) -> None:
    """Run a machine. Without `shrink` a failure is expected, and raised as it is found; it is
    looked for longer, since what Hypothesis draws depends on the modules that are imported."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples if shrink else 20 * examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
