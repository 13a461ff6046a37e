"""Texts as PostgreSQL stores them: every text comes back, in the same order, with the same prefixes."""

from hypothesis import given
from hypothesis import strategies as st

from tenuto.store.documents import behind
from tenuto.store.postgres.texts import escape, unescape

TEXTS = st.text(st.sampled_from("\x00\x01\x02\x03a\U0010ffff")) | st.text()


@given(TEXTS)
def test_a_text_comes_back_and_is_stored_without_nul(text: str) -> None:
    assert unescape(escape(text)) == text
    assert "\x00" not in escape(text)


def test_other_texts_are_stored_as_they_are() -> None:
    assert escape("order-1 ü \x02\x7f") == "order-1 ü \x02\x7f"
    assert escape(None) is None
    assert unescape(None) is None


@given(TEXTS, TEXTS)
def test_stored_texts_sort_as_they_are_meant(one: str, other: str) -> None:
    assert (escape(one) < escape(other)) == (one < other)


@given(TEXTS, TEXTS)
def test_a_prefix_stays_a_prefix(text: str, prefix: str) -> None:
    first, end = escape(prefix), behind(escape(prefix))
    stored = escape(text)
    assert (first <= stored and (end is None or stored < end)) == text.startswith(prefix)
