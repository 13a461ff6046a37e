from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenuto.system_tasks.registry import SystemTasks
from tests.integration.system_tasks.running import running_tasks
from tests.integration.system_tasks.servers import http_server


@pytest.fixture
async def base() -> AsyncIterator[str]:
    async with http_server() as address:
        yield address


@pytest.fixture
async def tasks() -> AsyncIterator[SystemTasks]:
    async with running_tasks() as system_tasks:
        yield system_tasks
