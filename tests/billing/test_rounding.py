"""SQL and Python round alike: the database settles, the application estimates, and both say the same number."""

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.money import MS_PER_HOUR, price_of_energy, price_of_time, round_half_even

pytestmark = pytest.mark.django_db

BIGINT_MAX = 2**63 - 1


def in_sql(pairs: list[tuple[int, int]]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_round_half_even(n, d) FROM unnest(%s::numeric[], %s::numeric[]) WITH ORDINALITY AS t(n, d, i)"
            " ORDER BY i",
            [[n for n, _ in pairs], [d for _, d in pairs]],
        )
        return [row[0] for row in cursor.fetchall()]


def test_halves_go_to_the_even_neighbour():
    assert in_sql([(1, 2), (3, 2), (5, 2), (7, 2), (0, 7), (10, 3), (11, 3)]) == [0, 2, 2, 4, 0, 3, 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(1, 10**7)), min_size=1, max_size=50))
def test_any_fraction(pairs):
    assert in_sql(pairs) == [round_half_even(n, d) for n, d in pairs]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 10**9)), min_size=1, max_size=50))
def test_compute_time_at_any_price(pairs):
    assert in_sql([(ms * price, MS_PER_HOUR) for ms, price in pairs]) == [price_of_time(*pair) for pair in pairs]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, BIGINT_MAX // MS_PER_HOUR), min_size=1, max_size=50))
def test_exact_ties(halves):
    """(2h + 1) / 2 lies between two integers: the even one of them wins, on both sides."""
    pairs = [((2 * half + 1) * MS_PER_HOUR // 2, MS_PER_HOUR) for half in halves]
    rounded = in_sql(pairs)
    assert rounded == [round_half_even(n, d) for n, d in pairs]
    assert all(value % 2 == 0 for value in rounded)


def test_energy():
    assert in_sql([(15_000 * 180_200, 1_000_000)]) == [price_of_energy(15_000, 180_200)] == [2_703]
