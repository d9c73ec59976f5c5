"""Sequence numbers of a device: received and missing ones."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain import sequences
from kener_async.domain.sequences import SequenceNumbers

Numbers = st.lists(st.integers(0, 60), unique=True)


def heard(numbers: list[int]) -> SequenceNumbers:
    sequence = SequenceNumbers()
    for number in numbers:
        assert sequence.add(number)
    return sequence


@given(Numbers)
def test_it_holds_just_what_was_heard(numbers: list[int]) -> None:
    sequence = heard(numbers)
    assert [number for number in range(-1, 62) if number in sequence] == sorted(numbers)


@given(Numbers, st.randoms(use_true_random=False))
def test_the_order_in_which_numbers_are_heard_does_not_matter(numbers: list[int], random: object) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert heard(shuffled).spans == heard(numbers).spans


@given(Numbers)
def test_spans_are_disjoint_and_do_not_touch(numbers: list[int]) -> None:
    spans = heard(numbers).spans
    assert all(first <= last for first, last in spans)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(spans))


@given(Numbers)
def test_holes_are_the_numbers_in_between_that_have_not_come(numbers: list[int]) -> None:
    between = range(min(numbers), max(numbers)) if numbers else range(0)
    assert heard(numbers).holes == len(set(between) - set(numbers))


@given(Numbers)
def test_nothing_is_to_come_up_to_where_it_is_complete(numbers: list[int]) -> None:
    until = heard(numbers).complete_until
    assert set(range(1, until + 1)) <= set(numbers)
    assert until + 1 not in numbers or until < 0


def test_a_sequence_that_does_not_begin_at_its_begin_is_not_complete() -> None:
    assert heard([5, 6, 7]).complete_until == -1


def test_it_can_be_stored_and_read_back() -> None:
    sequence = heard([1, 2, 5, 9, 8])
    assert SequenceNumbers(sequence.spans, sequence.floor).spans == [(1, 2), (5, 5), (8, 9)]


def test_the_lowest_spans_are_given_up_when_there_are_too_many() -> None:
    sequence = heard(list(range(0, 2 * sequences.LIMIT + 20, 2)))
    assert sequence.prune() == 10
    assert len(sequence.spans) == sequences.LIMIT
    assert (sequence.floor, 18 in sequence, 20 in sequence) == (20, False, True)
    assert sequence.complete_until == 20
    assert sequence.prune() == 0
