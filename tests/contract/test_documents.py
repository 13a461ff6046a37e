"""What every store guarantees of documents."""

import pytest

from tenuto.model.errors import ConflictError, LeaseLostError
from tenuto.store.protocol import Commit, Document, Store
from tests.contract.rows import HOUR, Engine, closed, run


@pytest.fixture
async def engine(store: Store) -> Engine:
    return await Engine(store).lease()


async def keys(store: Store, collection: str = "c", prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    found = await store.documents(collection, prefix=prefix, after=after, limit=limit)
    assert all(document.collection == collection for document in found)
    return [document.key for document in found]


async def put(store: Store, *keys: str, collection: str = "c") -> None:
    for key in keys:
        await store.put_document(Document(collection, key, b"x"))


async def test_a_document_is_what_was_put_and_counts_its_revisions(store: Store, twin: Store) -> None:
    assert await store.document("c", "k") is None
    assert await store.put_document(Document("c", "k", b"one", revision=99, updated=7)) == 1
    assert await twin.document("c", "k") == Document("c", "k", b"one", 1, 7)
    assert await twin.put_document(Document("c", "k", b"", updated=8, workflow_id="order")) == 2
    assert await store.document("c", "k") == Document("c", "k", b"", 2, 8, "order")
    assert await store.document("other", "k") is None
    assert await store.put_document(Document("c", "k", b"three", updated=9)) == 3
    assert await store.document("c", "k") == Document("c", "k", b"three", 3, 9)


async def test_a_writer_may_say_what_it_expects(store: Store) -> None:
    with pytest.raises(ConflictError, match=r"'k' of 'c'.* there is none where revision 1 was") as no_document:
        await store.put_document(Document("c", "k", b""), 1)
    assert no_document.value.revision == 0
    assert await store.put_document(Document("c", "k", b"one"), 0) == 1
    with pytest.raises(ConflictError, match="there is revision 1 where none was"):
        await store.put_document(Document("c", "k", b"two"), 0)
    assert await store.put_document(Document("c", "k", b"two"), 1) == 2
    with pytest.raises(ConflictError, match="there is revision 2 where revision 1 was") as later:
        await store.put_document(Document("c", "k", b"three"), 1)
    assert later.value.revision == 2
    assert await store.document("c", "k") == Document("c", "k", b"two", 2)


async def test_a_deleted_document_is_gone_and_begins_anew(store: Store) -> None:
    await put(store, "k", "k", "l")
    assert await store.delete_document("c", "k")
    assert not await store.delete_document("c", "k")
    assert not await store.delete_document("d", "l")
    assert await keys(store) == ["l"]
    assert await store.put_document(Document("c", "k", b""), 0) == 1


async def test_documents_are_listed_by_key_page_by_page(store: Store) -> None:
    everything = ["", "A", "a", "a/1", "a/10", "a/2", "a0", "b%", "b_", "ä", "\ud7ffx", "\ue000", "\U0010ffffx"]
    await put(store, *reversed(everything))
    await put(store, "other", collection="d")
    assert await keys(store) == sorted(everything) == everything
    assert await keys(store, prefix="a/") == ["a/1", "a/10", "a/2"]
    assert await keys(store, prefix="a/", after="a/1", limit=1) == ["a/10"]
    assert await keys(store, prefix="a/", after="A") == ["a/1", "a/10", "a/2"]
    assert await keys(store, prefix="a/", after="b") == []
    assert await keys(store, prefix="b_") == ["b_"]
    assert await keys(store, prefix="\ud7ff") == ["\ud7ffx"]
    assert await keys(store, prefix="\U0010ffff") == ["\U0010ffffx"]
    assert await keys(store, limit=0) == []
    assert await keys(store, "e") == []
    pages: list[str] = await keys(store, limit=3)
    while page := await keys(store, after=pages[-1], limit=3):
        pages += page
    assert pages == everything
    assert await store.count_documents("c") == len(everything)
    assert await store.count_documents("c", "a/") == 3
    assert await store.count_documents("c", "zz") == await store.count_documents("e") == 0


async def test_documents_are_written_with_a_commit_or_not_at_all(store: Store, twin: Store, engine: Engine) -> None:
    await put(store, "k", "gone")
    await engine.commit(
        documents=[Document("c", "k", b"1"), Document("c", "k", b"2", updated=5), Document("c", "both", b"")],
        deleted_documents=[("c", "gone"), ("c", "both"), ("c", "never there")],
    )
    assert await store.documents("c") == [Document("c", "k", b"2", 2, 5)]
    await store.release(engine.name)
    await Engine(twin, "new").lease()
    with pytest.raises(LeaseLostError):
        await engine.commit(documents=[Document("c", "lost", b"")], deleted_documents=[("c", "k")])
    assert await keys(store) == ["k"]


async def test_documents_need_no_lease(store: Store, twin: Store, engine: Engine) -> None:
    assert engine.epochs
    await put(twin, "k")
    assert await twin.delete_document("c", "k")


async def test_documents_go_with_the_last_run_they_belong_to(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1"), run("r2"), run("r3", "other"), run("r4", "-1")],
        documents=[
            Document("c", "mine", b"", workflow_id="order"),
            Document("c", "other", b"", workflow_id="other"),
            Document("c", "nobody", b""),
            Document("c", "odd", b"", workflow_id="-1"),
        ],
        changed=[closed("r1", 200), closed("r3", 200)],
    )
    assert await store.purge(300, now=HOUR, limit=10) == 2
    assert await keys(store) == ["mine", "nobody", "odd"]
    await engine.commit(changed=[closed("r2", 200)])
    assert await store.purge(300, now=HOUR, limit=10) == 1
    assert await keys(store) == ["nobody", "odd"]


async def test_what_is_put_and_what_is_got_are_copies(store: Store) -> None:
    document = Document("c", "k", b"x")
    await store.put_document(document)
    assert document.revision == 0
    document.data = b"changed"
    for found in (await store.document("c", "k"), *await store.documents("c")):
        assert found is not None
        found.data = b"changed"
    await store.commit(Commit(documents=[document]))
    document.data = b"changed again"
    assert await store.document("c", "k") == Document("c", "k", b"changed", 2)
