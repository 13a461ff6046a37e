"""What every request meets: health, unknown paths, wrong methods, limits."""

from __future__ import annotations

from tests.integration.server.conftest import Served


async def test_health_is_answered_in_both_places(server: Served) -> None:
    for url in (f"{server.url}/health", f"{server.url}/api/health"):
        answer = await server.client.get(url)
        assert answer.status_code == 200
        assert answer.json() == {"healthy": True, "healthResults": []}


async def test_an_unknown_path_is_404_as_json(server: Served) -> None:
    answer = await server.client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": 404,
        "message": "there is nothing at /api/nowhere",
        "instance": answer.json()["instance"],
        "retryable": False,
    }
