"""The ledger's rules: through the service, and against raw SQL."""

import pytest
from django.db import IntegrityError, connection, transaction

from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import LedgerAccount, LedgerTransfer
from core.errors import Conflict, PaymentRequired
from tests.billing.helpers import make_class, make_node, make_organization, sqlstate_of

pytestmark = pytest.mark.django_db

COLUMNS = "(kind, debit_id, credit_id, amount_micro, currency, idempotency_key)"


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def wallet(organization) -> LedgerAccount:
    return ledger.wallet(organization)


@pytest.fixture
def bank() -> LedgerAccount:
    return ledger.platform("bank_clearing", "USD")


def posting(debit, credit, amount=100, key="k1", kind="top_up", **fields) -> Posting:
    return Posting(debit=debit, credit=credit, amount_micro=amount, idempotency_key=key, kind=kind, **fields)


def balance(account: LedgerAccount) -> int:
    account.refresh_from_db()
    return account.balance_micro


# --- Through the service


def test_a_top_up_makes_the_wallet_larger_and_is_owed_to_the_customer(wallet, bank):
    result = ledger.post([posting(bank, wallet, 5_000_000)])
    assert result.new == 1
    assert balance(wallet) == 5_000_000
    assert wallet.version == 1
    assert balance(bank) == 0  # untracked: its balance is the sum of its transfers
    assert len(result.transfers[0].fingerprint) == 64


def test_the_same_posting_again_returns_the_first_and_moves_nothing(wallet, bank):
    first = ledger.post([posting(bank, wallet)])
    again = ledger.post([posting(bank, wallet), posting(bank, wallet, key="k2")])
    assert (again.new, again.transfers[0]) == (1, first.transfers[0])
    assert balance(wallet) == 200


@pytest.mark.parametrize("change", ["amount", "kind", "accounts"])
def test_a_key_does_one_thing_only(wallet, bank, organization, change):
    ledger.post([posting(bank, wallet)])
    other = {
        "amount": posting(bank, wallet, 101),
        "kind": posting(bank, wallet, kind="release"),
        "accounts": posting(bank, ledger.hold(organization)),
    }[change]
    with pytest.raises(Conflict) as caught:
        ledger.post([other])
    assert caught.value.code == "idempotency_conflict"
    assert balance(wallet) == 100


def test_one_key_twice_in_one_call(wallet, bank):
    assert ledger.post([posting(bank, wallet), posting(bank, wallet)]).new == 1
    with pytest.raises(Conflict):
        ledger.post([posting(bank, wallet, key="k2"), posting(bank, wallet, 1, key="k2")])
    assert balance(wallet) == 100


def test_all_or_nothing(wallet, bank, organization):
    with pytest.raises(PaymentRequired) as caught:
        ledger.post(
            [posting(bank, wallet, 100), posting(wallet, ledger.hold(organization), 101, key="k2", kind="hold")]
        )
    assert caught.value.code == "insufficient_funds"
    assert balance(wallet) == 0
    assert LedgerTransfer.objects.count() == 0


def test_only_the_sum_of_a_statement_meets_the_floor(wallet, bank, organization):
    """Money that arrives and leaves in one SQL statement covers itself, in whatever order the rows are."""
    hold = ledger.hold(organization)
    ledger.post([posting(wallet, hold, 80, key="k2", kind="hold"), posting(bank, wallet, 100)])
    assert (balance(wallet), balance(hold)) == (20, 80)


def test_an_owner_may_owe(bank):
    owner = make_node(make_class()).vehicle.owner
    payable = ledger.payable(owner, "USD")
    ledger.post([posting(payable, ledger.platform("revenue", "USD"), 50, kind="share")])
    assert balance(payable) == -50


def test_a_reversal_exchanges_the_accounts_once(wallet, bank):
    first = ledger.post([posting(bank, wallet)]).transfers[0]
    back = posting(wallet, bank, key="r1", kind="reversal", reverses=first)
    reversal = ledger.post([back]).transfers[0]
    assert balance(wallet) == 0
    assert ledger.recompute() != []  # this transfer was posted by hand, so it has no top-up
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.post([posting(wallet, bank, key="r2", kind="reversal", reverses=first)])
    with pytest.raises(Conflict), transaction.atomic():
        ledger.post([posting(bank, wallet, key="r3", kind="reversal", reverses=reversal)])


def test_a_reversal_mirrors_what_it_names(wallet, bank):
    first = ledger.post([posting(bank, wallet), posting(bank, wallet, key="k2")]).transfers[0]
    for wrong in (
        posting(wallet, bank, 99, key="r", kind="reversal", reverses=first),
        posting(bank, wallet, 100, key="r", kind="reversal", reverses=first),
    ):
        with pytest.raises(Conflict) as caught, transaction.atomic():
            ledger.post([wrong])
        assert caught.value.code == "transfer_invalid"


def test_accounts_are_made_once(organization):
    place = AccountName(kind="wallet", currency="USD", organization_id=organization.pk)
    assert ledger.account(place) == ledger.account(place) == ledger.wallet(organization)
    assert ledger.accounts([place, place]) == {place: ledger.wallet(organization)}


def test_nothing_to_post():
    assert ledger.post([]).transfers == ()


# --- Raw SQL, past the service


@pytest.fixture
def funded(wallet, bank) -> LedgerAccount:
    ledger.post([posting(bank, wallet, 1_000)])
    return wallet


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ledgertransfer SET amount_micro = 1",
        "UPDATE billing_ledgertransfer SET meta = '{}'",
        "DELETE FROM billing_ledgertransfer",
        "TRUNCATE billing_ledgertransfer CASCADE",
        "DELETE FROM billing_ledgeraccount",
        "TRUNCATE billing_ledgeraccount CASCADE",
        "UPDATE billing_ledgeraccount SET balance_micro = balance_micro + 1 WHERE tracked",
        "UPDATE billing_ledgeraccount SET version = version + 1 WHERE tracked",
        "UPDATE billing_ledgeraccount SET floor_zero = false WHERE kind = 'wallet'",
        "UPDATE billing_ledgeraccount SET side = -side",
        "UPDATE billing_ledgeraccount SET currency = 'EUR'",
        "UPDATE billing_ledgeraccount SET key = key || '!'",
        "UPDATE billing_ledgeraccount SET organization_id = NULL, owner_id = 1 WHERE kind = 'wallet'",
        "UPDATE billing_ledgeraccount SET tracked = false, balance_micro = 0, version = 0",
        "UPDATE billing_ledgeraccount SET id = id + 1000",
        "WITH x AS (UPDATE billing_ledgeraccount SET balance_micro = 9 WHERE tracked RETURNING 1) SELECT * FROM x",
        "MERGE INTO billing_ledgeraccount a USING (SELECT 1) s ON a.kind = 'wallet'"
        " WHEN MATCHED THEN UPDATE SET balance_micro = 9",
        "INSERT INTO billing_ledgeraccount (key, kind, organization_id, currency, side, floor_zero, tracked, balance_micro,"
        " version, created_at) SELECT key, kind, organization_id, currency, side, floor_zero, tracked, 0, 0, now()"
        " FROM billing_ledgeraccount WHERE kind = 'wallet'"
        " ON CONFLICT (key) DO UPDATE SET balance_micro = 9",
        "DO $$ BEGIN UPDATE billing_ledgeraccount SET balance_micro = 9 WHERE tracked; END $$",
    ],
)
def test_history_and_balances_cannot_be_edited(funded, sql):
    assert sqlstate_of(sql) == "DW002"
    assert balance(funded) == 1_000


def test_a_setting_opens_no_door(funded):
    sql = "SELECT set_config('billing.posting', 'on', true); UPDATE billing_ledgeraccount SET balance_micro = 9 WHERE tracked"
    assert sqlstate_of(sql) == "DW002"


@pytest.mark.parametrize(
    ("values", "sqlstate"),
    [
        ("'top_up', {bank}, {wallet}, 0, 'USD', 'x'", "23514"),
        ("'top_up', {bank}, {wallet}, -5, 'USD', 'x'", "23514"),
        ("'top_up', {wallet}, {wallet}, 5, 'USD', 'x'", "23514"),
        ("'reversal', {bank}, {wallet}, 5, 'USD', 'x'", "23514"),
        ("'top_up', {bank}, {wallet}, 5, 'EUR', 'x'", "DW007"),
        ("'top_up', {euro}, {wallet}, 5, 'USD', 'x'", "DW007"),
        ("'top_up', {euro}, {wallet}, 5, 'EUR', 'x'", "DW007"),
        ("'top_up', 999999999, {wallet}, 5, 'USD', 'x'", "23503"),
        ("'top_up', {bank}, 999999999, 5, 'USD', 'x'", "23503"),
        ("'top_up', {bank}, NULL, 5, 'USD', 'x'", "23502"),
        ("'hold', {wallet}, {bank}, 1001, 'USD', 'x'", "DW005"),
        ("'top_up', {bank}, {wallet}, 9223372036854775807, 'USD', 'x'", "22003"),
        ("'top_up', {bank}, {wallet}, 1000, 'USD', 'k1'", "23505"),
        ("'top_up', {bank}, {wallet}, 5, 'USD', 'k1'", "DW006"),
    ],
)
def test_transfers_that_are_refused(funded, bank, values, sqlstate):
    accounts = {"wallet": funded.pk, "bank": bank.pk, "euro": ledger.platform("bank_clearing", "EUR").pk}
    assert sqlstate_of(f"INSERT INTO billing_ledgertransfer {COLUMNS} VALUES ({values.format(**accounts)})") == sqlstate
    assert balance(funded) == 1_000


@pytest.mark.parametrize(
    "rows",
    [
        "SELECT 'reversal', d.id, c.id, 5, 'USD', 'x', 999999999",  # reverses a transfer that does not exist
        "SELECT 'top_up', d.id, CASE n WHEN 2 THEN 999999999 ELSE c.id END, 5, 'USD', 'x' || n, NULL::bigint",
    ],
)
def test_one_transfer_that_names_nothing_spoils_the_statement(funded, bank, rows):
    """There is no foreign key: the trigger of the statement checks the references."""
    sql = (
        f"INSERT INTO billing_ledgertransfer {COLUMNS[:-1]}, reverses_id) {rows}"
        " FROM generate_series(1, 3) n, billing_ledgeraccount d, billing_ledgeraccount c WHERE d.id = %s AND c.id = %s"
        " ON CONFLICT DO NOTHING"
    )
    assert sqlstate_of(sql, [bank.pk, funded.pk]) == "23503"
    assert balance(funded) == 1_000


def test_keys_are_found_by_their_beginning_in_one_index(funded):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT id FROM billing_ledgertransfer WHERE idempotency_key LIKE 'dispute:1:%'")
        assert "ledger_transfer_key" in str(cursor.fetchall())


def test_a_key_used_for_something_else_is_refused_also_where_conflicts_do_nothing(funded, bank):
    sql = f"INSERT INTO billing_ledgertransfer {COLUMNS} VALUES ('top_up', %s, %s, %s, 'USD', 'k1') ON CONFLICT DO NOTHING"
    with connection.cursor() as cursor:
        cursor.execute(sql, [bank.pk, funded.pk, 1_000])
        assert cursor.rowcount == 0
    assert sqlstate_of(sql, [bank.pk, funded.pk, 1_001]) == "DW006"


def test_what_the_database_writes_itself_cannot_be_given(funded, bank):
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO billing_ledgertransfer (fingerprint, posted_at, {COLUMNS[1:]}"
            " VALUES ('forged', '2001-01-01', 'top_up', %s, %s, 1, 'USD', 'x')",
            [bank.pk, funded.pk],
        )
    row = LedgerTransfer.objects.get(idempotency_key="x")
    assert row.fingerprint != "forged"
    assert row.posted_at.year > 2001


@pytest.mark.parametrize(
    "values",
    [
        "'w2', 'wallet', {organization}, NULL, 'USD', -1, true, true, 0, 0",  # a second wallet
        "'w2', 'wallet', {organization}, NULL, 'EUR', -1, false, true, 0, 0",  # without a floor
        "'w2', 'wallet', {organization}, NULL, 'EUR', 1, true, true, 0, 0",  # on the wrong side
        "'w2', 'wallet', {organization}, NULL, 'EUR', -1, false, false, 0, 0",  # untracked
        "'w2', 'wallet', NULL, NULL, 'EUR', -1, true, true, 0, 0",  # without an organization
        "'w2', 'revenue', {organization}, NULL, 'EUR', -1, false, false, 0, 0",  # a customer's revenue
        "'w2', 'treasure', NULL, NULL, 'EUR', -1, false, false, 0, 0",
        "'w2', 'wallet', {organization}, NULL, 'EUR', -1, true, true, 500, 0",  # with a balance from the start
        "'w2', 'wallet', {organization}, NULL, 'EUR', -1, true, true, 0, 5",
    ],
)
def test_accounts_that_cannot_be_made(funded, organization, values):
    sql = (
        "INSERT INTO billing_ledgeraccount (key, kind, organization_id, owner_id, currency, side, floor_zero, tracked,"
        f" balance_micro, version, created_at) VALUES ({values.format(organization=organization.pk)}, now())"
    )
    assert sqlstate_of(sql) in ("23505", "23514", "DW002")
