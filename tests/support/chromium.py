"""The Chromium of the system, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

from benchmarks import chromium


def installed() -> str:
    """Its path; a test that asks for it is skipped where there is none."""
    path = chromium.find()
    if path is None:
        pytest.skip("needs Chromium")
    return path


@asynccontextmanager
async def running(path: str) -> AsyncIterator[Browser]:
    """A running one, whose contexts share nothing."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(chromium.OPTIONS)
        )
        yield browser
        await browser.close()
