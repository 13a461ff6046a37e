"""A cage that the tests of a module share: starting helper processes is what takes time."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tenuto.cage.cage import Cage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cage() -> AsyncIterator[Cage]:
    async with Cage() as cage:
        yield cage
