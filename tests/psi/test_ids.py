"""Canonical ids: one spelling for each id, duplicates gone, limits named without quoting the id."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground_ext.errors import ConfigError, ProtocolError
from playground_ext.psi import ids as ids_module
from playground_ext.psi.ids import MAX_ID_BYTES, canonical, normalise
from playground_ext.psi.matching import shuffled

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXT)
def test_composed_and_decomposed_spellings_are_one_id(text):
    assert canonical(unicodedata.normalize("NFD", text)) == canonical(unicodedata.normalize("NFC", text))


@given(st.lists(TEXT))
def test_the_first_of_equal_ids_counts_and_its_position_is_kept(texts):
    ids = normalise(texts)
    assert list(ids) == list(dict.fromkeys(unicodedata.normalize("NFC", text).encode() for text in texts))
    assert [canonical(texts[position]) for position in ids.positions] == list(ids)
    assert list(ids.positions) == sorted(ids.positions)
    assert ids.duplicates == len(texts) - len(ids)


def test_the_empty_string_and_numbers_are_ids():
    assert list(normalise(["", 17, "17", " 17"])) == [b"", b"17", b" 17"]


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
    assert "patient" not in repr(normalise(["patient-7"])) + repr(shuffled(normalise(["patient-7"])))


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e\u0301", "\u00e9"]), max_size=40))
def test_ids_whose_hashes_collide_are_told_apart(texts):
    expected = normalise(texts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ids_module, "hash", lambda value: len(value) % 2, raising=False)
        found = normalise(texts)
    assert list(found) == list(dict.fromkeys(map(canonical, texts)))
    assert found.positions.tolist() == expected.positions.tolist()


def test_duplicates_are_found_however_far_apart_they_stand():
    many = [*range(20_000), *range(10_000), *range(25_000)]  # more than are hashed at a time
    ids = normalise(many)
    assert [int(value) for value in ids] == list(range(25_000))
    assert ids.positions.tolist() == [*range(20_000), *range(50_000, 55_000)]
    assert ids.duplicates == 30_000


def test_a_shuffled_list_finds_its_way_back_and_refuses_impossible_positions():
    ids = normalise(range(100))
    own = shuffled(ids)
    ((*values,),) = own.blocks(100)
    assert values != list(ids)  # fails once in 100! runs
    assert [ids[index] for index in own.original(range(100))] == values
    assert own.original([]).tolist() == []
    for wrong in ([100], [-1], [3, 3]):
        with pytest.raises(ProtocolError, match="positions"):
            own.original(wrong)
