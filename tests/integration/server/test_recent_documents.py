"""Records of which the newest are kept."""

from __future__ import annotations

from tenuto.server.recent_documents import RecentDocuments
from tests.integration.server.conftest import Served


async def test_the_oldest_go(server: Served) -> None:
    records = RecentDocuments(server.services, "records", int, limit=3)
    for number in range(5):
        await records.put([records.document(f"k{number}", number)])
    await records.put([records.document("k2", 22)])
    await records.put([records.document("k5", 5)])
    assert records.keys() == ["k4", "k2", "k5"]
    assert [document.key for document in await server.services.store.documents("records")] == ["k2", "k4", "k5"]
    again = RecentDocuments(server.services, "records", int, limit=3)
    await again.load()
    assert again.keys() == records.keys()
    assert await again.get("k2") == 22
    assert await again.get("k0") is None
    assert sorted(await again.all()) == [4, 5, 22]
