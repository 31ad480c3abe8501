"""SQL and Python compute the same prices: the database settles with one, the application estimates with the other."""

import subprocess
import sys
from fractions import Fraction
from math import floor

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rates import formula as rating
from core.money import MS_PER_HOUR, MWH_PER_KWH, round_half_even

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
    assert in_sql([(ms * price, MS_PER_HOUR) for ms, price in pairs]) == [
        round_half_even(ms * price, MS_PER_HOUR) for ms, price in pairs
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, BIGINT_MAX // MS_PER_HOUR), min_size=1, max_size=50))
def test_exact_ties(halves):
    """(2h + 1) / 2 lies in the middle of two integers: SQL and Python choose the even one."""
    pairs = [((2 * half + 1) * MS_PER_HOUR // 2, MS_PER_HOUR) for half in halves]
    rounded = in_sql(pairs)
    assert rounded == [round_half_even(n, d) for n, d in pairs]
    assert all(value % 2 == 0 for value in rounded)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**12),
            st.integers(0, 10**12),
            st.integers(1, 10**9),
            st.integers(0, 10**9),
            st.integers(0, 1000),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_rating_is_the_same_in_sql_and_never_pays_an_owner_more_than_the_price(works):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing_full_micro(m, e, h, k), billing_owner_micro(m, e, h, k, s) FROM unnest(%s::bigint[],"
            " %s::bigint[], %s::bigint[], %s::bigint[], %s::int[]) WITH ORDINALITY AS t (m, e, h, k, s, i) ORDER BY i",
            [list(column) for column in zip(*works, strict=True)],
        )
        rated = cursor.fetchall()
    for (ms, mwh, hour, kwh, share), (full, owner) in zip(works, rated, strict=True):
        work = {"compute_ms": ms, "energy_mwh": mwh, "price_micro_per_hour": hour, "price_micro_per_kwh": kwh}
        exact = Fraction(ms * hour, MS_PER_HOUR) + Fraction(mwh * kwh, MWH_PER_KWH)
        assert full == rating.full_micro(**work) == round(exact)
        exact_part = Fraction(ms * hour * share, MS_PER_HOUR * 1000) + Fraction(mwh * kwh, MWH_PER_KWH)
        assert owner == rating.owner_micro(**work, owner_share_permille=share) == floor(exact_part) <= full


def test_rating_needs_nothing_but_the_standard_library():
    code = (
        "import sys; sys.path.insert(0, 'billing/rates'); import formula;"
        " print(sorted(sys.modules.keys() & {'django', 'billing'}))"
    )
    assert subprocess.check_output([sys.executable, "-I", "-c", code], text=True).strip() == "[]"


def test_energy():
    assert in_sql([(15_000 * 180_200, 1_000_000)]) == [round_half_even(15_000 * 180_200, MWH_PER_KWH)] == [2_703]
