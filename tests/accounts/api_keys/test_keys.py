"""API keys: shown once, stored as a hash, found by prefix, and refused from the moment they are revoked."""

import hashlib
import zlib
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.api_keys import keys as api_keys
from accounts.models import ApiKey, AuditEvent, Scope
from core.errors import InvalidInput
from tests import factories

pytestmark = pytest.mark.django_db
BASE62 = set(api_keys.ALPHABET)


@pytest.fixture
def acme():
    return factories.make_organization("acme@example.com")


def with_checksum(body: str) -> str:
    """Return the text with a valid checksum, which needs no secret."""
    return body + api_keys._checksum(body)


def wallet_status(text: str) -> int:
    return Client(headers={"Authorization": f"Bearer {text}"}).get("/api/v1/wallet").status_code


# --- the text ---------------------------------------------------------------------------------------------------------


def test_the_format_is_brand_prefix_secret_checksum(acme):
    key, text = factories.make_key(acme)
    drv, live, prefix, rest = text.split("_")
    secret, checksum = rest[:-6], rest[-6:]
    assert (drv, live, prefix, len(secret)) == ("drv", "live", key.prefix, 32)
    assert set(prefix + secret + checksum) <= BASE62
    value = 0
    for digit in checksum:
        value = value * 62 + api_keys.ALPHABET.index(digit)
    assert value == zlib.crc32(text[:-6].encode())


def test_only_a_hash_of_the_secret_is_stored(acme):
    key, text = factories.make_key(acme)
    secret = text.split("_")[3][:-6]
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert row["secret_sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert all(secret not in str(value) for value in row.values())
    events = AuditEvent.objects.filter(subject=str(key.public_id)).values()
    assert len(events) == 1
    assert secret not in str(list(events))


def test_two_keys_have_nothing_in_common(acme):
    first, second = (factories.make_key(acme)[1].split("_")[2:] for _ in range(2))
    assert not set(first) & set(second)


def test_a_key_is_found_by_its_text(acme):
    key, text = factories.make_key(acme)
    assert api_keys.find(text) == key


def test_a_wrong_checksum_costs_no_query(acme, django_assert_num_queries):
    _, text = factories.make_key(acme)
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    with django_assert_num_queries(0):
        assert api_keys.find(wrong) is None


def test_a_wrong_secret_with_a_right_checksum(acme):
    key, _ = factories.make_key(acme)
    text = with_checksum(f"drv_live_{key.prefix}_{'A' * 32}")
    assert api_keys.find(text) is None
    assert wallet_status(text) == 401


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "drv_live",
        "drv_live_",
        "a b",
        "_" * 60,
        with_checksum(""),
        with_checksum("drv_live_"),
        with_checksum("drv_live__"),
        with_checksum("drv_test_0123456789_" + "a" * 32),
        with_checksum("drv_live_0123456789_a_b"),
        with_checksum("drv_live_\x00_a"),
        with_checksum("drv_live_\u00e9\u00e9_a"),
        "dr\u00fc_live_" + "a" * 50,
        "drv_live_" + "a" * 5000,
    ],
)
def test_noise_is_no_key(text):
    assert api_keys.find(text) is None


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Basic dTpw",
        "Bearer dr\u00fc_live_x_y",
        "Bearer \u00e9" + "\u00e9" * 60,
        "bearer drv_live_x",
        "Token abc",
    ],
)
def test_noise_in_the_header_is_401_in_our_shape(header):
    answer = Client().get("/api/v1/wallet", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert answer["WWW-Authenticate"] == "Bearer"


def test_the_word_bearer_may_be_written_in_any_case(acme):
    _, text = factories.make_key(acme)
    assert Client().get("/api/v1/wallet", headers={"Authorization": f"bEaReR {text}"}).status_code == 200


# --- life -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scopes", [[], ["jobs:read", "everything"], ["JOBS:READ"]])
def test_unknown_or_no_scopes_are_refused(acme, scopes):
    with pytest.raises(InvalidInput):
        api_keys.create_api_key(organization=acme, name="x", scopes=scopes, expires_days=None, actor=None)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("scope", Scope.values)
def test_a_key_does_what_its_scopes_say_and_no_more(acme, scope):
    _, text = factories.make_key(acme, scopes=[scope])
    api = Client(headers={"Authorization": f"Bearer {text}"})
    requests = {
        "wallet:read": lambda: api.get("/api/v1/wallet"),
        "wallet:write": lambda: api.post("/api/v1/wallet/top-ups", {}, content_type="application/json"),
        "jobs:read": lambda: api.get("/api/v1/jobs"),
        "models:write": lambda: api.post("/api/v1/models", b"x", content_type="application/octet-stream"),
        "jobs:write": lambda: api.post("/api/v1/files?format=npy", b"x", content_type="application/octet-stream"),
    }
    refused = {name for name, ask in requests.items() if ask().status_code == 403}
    assert refused == set(Scope.values) - {scope}


def test_an_expired_key_is_dead(acme):
    key, text = factories.make_key(acme)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    assert wallet_status(text) == 401


def test_a_key_without_an_end_has_none(acme):
    key, _ = api_keys.create_api_key(organization=acme, name="x", scopes=["wallet:read"], expires_days=None, actor=None)
    assert key.expires_at is None
    assert key.is_active


def test_revoking_acts_on_the_very_next_request(acme):
    key, text = factories.make_key(acme)
    assert wallet_status(text) == 200
    api_keys.revoke_api_key(key=key, actor=None)
    assert wallet_status(text) == 401


def test_revoking_twice_keeps_the_first_moment(acme):
    key, _ = factories.make_key(acme)
    api_keys.revoke_api_key(key=key, actor=None)
    first = ApiKey.objects.get(pk=key.pk).revoked_at
    api_keys.revoke_api_key(key=key, actor=None)
    assert ApiKey.objects.get(pk=key.pk).revoked_at == first
    assert AuditEvent.objects.filter(action="api_key.revoke").count() == 1


def test_last_used_is_coarse(acme, django_assert_num_queries):
    key, text = factories.make_key(acme)
    api_keys.find(text)
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(1):  # only the look-up: `last_used_at` is not written for every request
        api_keys.find(text)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=first - timedelta(minutes=2))
    api_keys.find(text)
    assert ApiKey.objects.get(pk=key.pk).last_used_at >= first


def test_a_refused_key_is_not_marked_used(acme):
    key, text = factories.make_key(acme)
    api_keys.revoke_api_key(key=key, actor=None)
    api_keys.find(text)
    assert ApiKey.objects.get(pk=key.pk).last_used_at is None


# --- the page ---------------------------------------------------------------------------------------------------------


def make_on_page(client, **fields):
    return client.post("/keys/new", {"name": "Nightly", "scopes": ["jobs:read", "wallet:read"], **fields})


def test_the_page_shows_a_new_key_once(cast, client_of):
    client = client_of(cast.acme.memberships.get().user)
    page = make_on_page(client, expires_in_days=30)
    key = ApiKey.objects.get()
    text = page.context["new_key"]
    assert page.status_code == 200
    assert page.content.decode().count(text) == 1
    assert "no-store" in page["Cache-Control"]
    assert api_keys.find(text) == key
    assert (key.organization, key.scopes) == (cast.acme, ["jobs:read", "wallet:read"])
    assert key.created_by == cast.acme.memberships.get().user
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
    second_page = client.get("/keys/")
    assert "no-store" in second_page["Cache-Control"]
    assert key.prefix in second_page.content.decode()
    secret = text.split("_")[3]
    assert secret not in second_page.content.decode()
    assert secret not in str(dict(client.session))
    assert secret not in client.post(f"/keys/{key.public_id}/revoke", follow=True).content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 61},
        {"scopes": []},
        {"scopes": ["root"]},
        {"expires_in_days": 0},
        {"expires_in_days": 3651},
        {"name": "a\x00b"},
    ],
)
def test_the_page_refuses_a_bad_form(cast, client_of, fields):
    page = make_on_page(client_of(cast.acme.memberships.get().user), **fields)
    assert page.status_code == 400
    assert page.context["form"].errors
    assert not ApiKey.objects.exists()


def test_the_name_of_a_key_is_escaped(cast, client_of):
    page = make_on_page(client_of(cast.acme.memberships.get().user), name="<img src=x>")
    assert "<img src=x>" not in page.content.decode()
