"""Canonical ids: one spelling for each id, duplicates gone, limits named without quoting the id."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground_ext.errors import ConfigError, ProtocolError
from playground_ext.psi.ids import MAX_ID_BYTES, canonical, normalise
from playground_ext.psi.matching import intersect, shuffled

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXT)
def test_composed_and_decomposed_spellings_are_one_id(text):
    assert canonical(unicodedata.normalize("NFD", text)) == canonical(unicodedata.normalize("NFC", text))


@given(st.lists(TEXT))
def test_the_first_of_equal_ids_counts_and_its_position_is_kept(texts):
    ids = normalise(texts)
    assert set(ids.values) == {unicodedata.normalize("NFC", text).encode() for text in texts}
    assert [canonical(texts[position]) for position in ids.positions] == list(ids.values)
    assert list(ids.positions) == sorted(ids.positions)
    assert ids.duplicates == len(texts) - len(ids)


def test_the_empty_string_and_numbers_are_ids():
    assert normalise(["", 17, "17", " 17"]).values == (b"", b"17", b" 17")


@pytest.mark.parametrize("value", [b"bytes", None, 1.5, True])
def test_what_is_not_text_is_refused(value):
    with pytest.raises(ConfigError, match="id number 1: an id is a"):
        normalise(["good", value])


def test_an_id_may_have_a_megabyte_and_not_more():
    assert len(canonical("x" * MAX_ID_BYTES)) == MAX_ID_BYTES
    with pytest.raises(ConfigError, match="1,048,577 bytes"):
        canonical("x" * (MAX_ID_BYTES + 1))


def test_the_limit_counts_bytes_after_normalisation():
    # U+0958 is two code points in NFC: 3 bytes become 6
    assert len(canonical("\u0958" * (MAX_ID_BYTES // 6))) == MAX_ID_BYTES // 6 * 6
    with pytest.raises(ConfigError, match="bytes"):
        canonical("\u0958" * (MAX_ID_BYTES // 6 + 1))


def test_errors_and_reprs_never_quote_an_id():
    with pytest.raises(ConfigError) as caught:
        normalise(["patient-7\udcff"])
    assert "patient-7" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "patient" not in repr(normalise(["patient-7"])) + repr(shuffled([b"patient-7"]))


def test_a_shuffled_list_finds_its_way_back_and_refuses_impossible_positions():
    values = [b"%d" % i for i in range(100)]
    own = shuffled(values)
    assert own.values != tuple(values)  # fails once in 100! runs
    assert [values[position] for position in own.original(range(100))] == list(own.values)
    for wrong in ([100], [-1], [3, 3]):
        with pytest.raises(ProtocolError, match="positions"):
            own.original(wrong)
    with pytest.raises(ProtocolError, match="not all different"):
        shuffled([b"a", b"a"])


@given(st.sets(st.binary(min_size=4, max_size=4)), st.sets(st.binary(min_size=4, max_size=4)))
def test_tags_are_compared_whole_trailing_zeros_included(mine, theirs):
    mine = [*mine, b"ab\0\0", b"\0\0\0\0"] if not mine & {b"ab\0\0", b"\0\0\0\0"} else list(mine)
    theirs = list(theirs)
    both = intersect(b"".join(mine), b"".join(theirs), width=4, mine_count=len(mine), theirs_count=len(theirs))
    assert {mine[i] for i in both.mine} == set(mine) & set(theirs)
    assert [mine[i] for i in both.mine] == [theirs[i] for i in both.theirs]


def test_tags_that_come_twice_are_refused():
    for mine, theirs in ((b"aabb", b"aaaa"), (b"aaaa", b"aabb")):
        with pytest.raises(ProtocolError, match="not all different"):
            intersect(mine, theirs, width=2, mine_count=2, theirs_count=2)
