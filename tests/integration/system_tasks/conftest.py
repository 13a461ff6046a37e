from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenuto.system_tasks.registry import SystemTasks
from tenuto.system_tasks.settings import SystemTaskSettings
from tests.integration.system_tasks.servers import http_server


@pytest.fixture
async def base() -> AsyncIterator[str]:
    async with http_server() as address:
        yield address


@pytest.fixture
async def tasks() -> AsyncIterator[SystemTasks]:
    system_tasks = SystemTasks(SystemTaskSettings())
    yield system_tasks
    await system_tasks.aclose()
