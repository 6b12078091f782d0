from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import required

SKIPPING = """
import pytest

def test_part_is_missing():
    pytest.skip("no such part")

@pytest.mark.optional("needs what CI does not install")
def test_optional_part_is_missing():
    pytest.skip("no such part")

@pytest.mark.xfail
def test_known_to_fail():
    assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of its own that uses the hooks."""
    assert required.__file__ is not None
    pytester.makeconftest(Path(required.__file__).read_text())
    pytester.makeini("[pytest]\nmarkers = optional(reason)")
    return pytester


def test_a_skip_is_a_skip_by_default(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine where parts are missing runs the rest."""
    monkeypatch.delenv("TAPECAST_REQUIRE_ALL", raising=False)
    project.makepyfile(SKIPPING)
    project.runpytest_subprocess().assert_outcomes(skipped=2, xfailed=1)


def test_a_skip_fails_where_all_is_required(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI a skipped test fails with its reason, unless it is marked optional."""
    monkeypatch.setenv("TAPECAST_REQUIRE_ALL", "1")
    project.makepyfile(SKIPPING)
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*no such part, where TAPECAST_REQUIRE_ALL is set*"])


def test_a_skipped_module_fails_where_all_is_required(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI a module that skips as a whole fails too."""
    monkeypatch.setenv("TAPECAST_REQUIRE_ALL", "1")
    project.makepyfile("import pytest\npytest.importorskip('no_such_module')")
    project.runpytest_subprocess().assert_outcomes(errors=1)
