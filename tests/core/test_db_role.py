"""The application's database role: its privileges, and attacks on every rule with raw SQL in a session of the role."""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from psycopg.conninfo import make_conninfo

from core import db_role
from tests.billing.books import make_books
from tests.compute.helpers import present
from tests.database import as_owner, execute

DENIED, STATE, KEPT, CONSENT, CHAIN = "42501", "DW001", "DW002", "DW003", "DW004"
FLOOR, KEY, MIRROR, CHECK, TWICE = "DW005", "DW006", "DW007", "23514", "23505"
ROLE = settings.DATABASE_APP_ROLE

WALLET, BANK = "(SELECT id FROM billing_ledgeraccount WHERE kind = '{}')".format, "'bank_clearing'"
LEDGER = (
    "INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency,"
    " idempotency_key{}) SELECT {}"
)


def transfer(
    kind: str, debit: str, credit: str, micro: int | str, key: str = "'forged'", currency: str = "'USD'"
) -> str:
    """Return an INSERT of one transfer between accounts of two kinds."""
    return LEDGER.format(
        "",
        f"'{kind}', d.id, c.id, {micro}, {currency}, {key} FROM billing_ledgeraccount d,"
        f" billing_ledgeraccount c WHERE d.kind = '{debit}' AND c.kind = '{credit}' LIMIT 1",
    )


# Attacks on the rules themselves: statement -> SQLSTATE of the refusal ("": allowed, or nothing happens).
POWERS = {
    "SET session_replication_role = replica": DENIED,
    "SELECT set_config('session_replication_role', 'replica', true)": DENIED,
    "DO $$ BEGIN EXECUTE 'SET session_replication_role = replica'; END $$": DENIED,
    f"ALTER ROLE {ROLE} SET session_replication_role = replica": DENIED,
    f"ALTER ROLE {ROLE} SUPERUSER": DENIED,
    f"ALTER ROLE {ROLE} CREATEDB": DENIED,
    "SET ROLE postgres": DENIED,
    "SET SESSION AUTHORIZATION postgres": DENIED,
    f"GRANT postgres TO {ROLE}": DENIED,
    "GRANT UPDATE ON billing_ledgeraccount TO PUBLIC": "",  # a warning only: nothing is granted
    "CREATE ROLE accomplice": DENIED,
    "ALTER TABLE billing_ledgeraccount DISABLE TRIGGER account_guard": DENIED,
    "ALTER TABLE billing_ledgertransfer DISABLE TRIGGER ALL": DENIED,
    "ALTER TABLE billing_ledgeraccount DROP CONSTRAINT ledger_account_floor": DENIED,
    f"ALTER TABLE billing_ledgertransfer OWNER TO {ROLE}": DENIED,
    "DROP TRIGGER ledger_move ON billing_ledgertransfer": DENIED,
    "CREATE RULE r AS ON INSERT TO billing_ledgertransfer DO INSTEAD NOTHING": DENIED,
    "CREATE TRIGGER t BEFORE INSERT ON billing_ledgertransfer FOR EACH ROW EXECUTE FUNCTION billing_keep()": DENIED,
    "CREATE OR REPLACE FUNCTION billing_account_guard() RETURNS trigger LANGUAGE"
    " plpgsql AS 'BEGIN RETURN NEW; END'": DENIED,
    "DROP FUNCTION billing_account_guard() CASCADE": DENIED,
    "ALTER FUNCTION billing_ledger_move() SECURITY INVOKER": DENIED,
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'": DENIED,
    "CREATE TABLE mine (x int)": DENIED,
    "CREATE SCHEMA mine": DENIED,
    # Temporary tables and views that would shadow a real table in the search path of a trigger.
    "CREATE TEMPORARY TABLE billing_ledgeraccount (LIKE billing_ledgeraccount)": DENIED,
    "CREATE TEMPORARY TABLE accounts_consentcurrent AS SELECT * FROM accounts_consentcurrent": DENIED,
    "SELECT * INTO TEMPORARY accounts_statetransition FROM accounts_statetransition": DENIED,
    "CREATE VIEW pg_temp.billing_joborder AS SELECT 1": DENIED,
    # Functions that write with their owner's rights can be executed by triggers only.
    "SELECT billing_ledger_move()": DENIED,
    "SELECT driveway_transition()": DENIED,
    "SELECT driveway_first_state()": DENIED,
    "SELECT accounts_consent_project()": DENIED,
    "SELECT setval(pg_get_serial_sequence('billing_ledgertransfer', 'id'), 1)": DENIED,
    "SELECT pg_read_file('/etc/passwd')": DENIED,
    "COPY billing_ledgertransfer FROM PROGRAM 'true'": DENIED,
    "COPY (SELECT 1) TO '/tmp/out'": DENIED,
    "LOCK TABLE billing_ledgertransfer IN ACCESS EXCLUSIVE MODE": DENIED,
    "UPDATE pg_proc SET prosecdef = true": DENIED,
}
MONEY = {
    "UPDATE billing_ledgertransfer SET amount_micro = 1": DENIED,
    "DELETE FROM billing_ledgertransfer": DENIED,
    "TRUNCATE billing_ledgertransfer CASCADE": DENIED,
    "MERGE INTO billing_ledgertransfer t USING billing_topup u ON true WHEN MATCHED THEN DELETE": DENIED,
    "UPDATE billing_ledgeraccount SET balance_micro = 9": DENIED,
    "UPDATE billing_ledgeraccount SET floor_zero = false": DENIED,
    "UPDATE billing_ledgeraccount SET owner_id = NULL": DENIED,
    "UPDATE billing_ledgeraccount SET key = 'mine' WHERE kind = 'wallet'": KEPT,
    "DELETE FROM billing_ledgeraccount": DENIED,
    "INSERT INTO billing_ledgeraccount (key, kind, currency, side, floor_zero, tracked, balance_micro, version,"
    " created_at)"
    " VALUES ('rich', 'revenue', 'EUR', -1, false, false, 5, 0, now())": KEPT,
    "INSERT INTO billing_ledgeraccount (key, kind, currency, side, floor_zero, tracked, balance_micro, version,"
    " created_at)"
    " VALUES ('loose', 'wallet', 'EUR', -1, false, false, 0, 0, now())": CHECK,
    transfer("hold", "wallet", "bank_clearing", 10**12): FLOOR,
    transfer("release", "hold", "wallet", 10**12): FLOOR,
    transfer("reserve", "reserve", "payable", 10**12): FLOOR,
    transfer("top_up", "bank_clearing", "wallet", 0): CHECK,
    transfer("top_up", "bank_clearing", "wallet", -5): CHECK,
    transfer("top_up", "wallet", "wallet", 5): CHECK,
    transfer("top_up", "bank_clearing", "wallet", 5, currency="'EUR'"): MIRROR,
    transfer("top_up", "bank_clearing", "wallet", 5, key="'top_up:card'"): KEY,
    transfer("top_up", "stripe_clearing", "wallet", 50_000_000, key="'top_up:card'"): TWICE,
    transfer("reversal", "bank_clearing", "wallet", 5): CHECK,
    LEDGER.format(
        ", reverses_id",
        "'reversal', credit_id, debit_id, amount_micro + 1, 'USD', 'forged', id"
        " FROM billing_ledgertransfer WHERE kind = 'promo'",
    ): MIRROR,
    LEDGER.format(
        ", reverses_id",
        "'reversal', debit_id, credit_id, amount_micro, 'USD', 'forged', id"
        " FROM billing_ledgertransfer WHERE kind = 'promo'",
    ): MIRROR,
    LEDGER.format(
        ", reverses_id",
        "'reversal', credit_id, debit_id, amount_micro, 'USD', 'forged', reverses_id"
        " FROM billing_ledgertransfer WHERE kind = 'reversal' LIMIT 1",
    ): TWICE,
    "UPDATE billing_joborder SET held_micro = 1": KEPT,
    "UPDATE billing_joborder SET charged_micro = held_micro + 1 WHERE status = 'held'": CHECK,
    "UPDATE billing_joborder SET status = 'held', closed_at = NULL WHERE status = 'closed'": KEPT,
    "DELETE FROM billing_joborder": DENIED,
    "UPDATE billing_ratecard SET price_micro_per_hour = 1": DENIED,
    "UPDATE billing_ratedusage SET owner_micro = 0": DENIED,
    "UPDATE billing_topup SET amount_micro = 10": DENIED,
    "UPDATE billing_topup SET id = id + 1000": KEPT,  # UPDATE is granted for row locks; the trigger refuses it
    "UPDATE billing_balancetransaction SET amount_micro = 10": DENIED,
    "UPDATE billing_usagevoid SET reason = 'none'": KEPT,
    "UPDATE billing_ledgercheck SET differences = 0": DENIED,
    "UPDATE billing_ledgerdifference SET check_name = 'none'": "",  # there is no such row: see test_check_ledger
    "DELETE FROM billing_ledgerdifference": DENIED,
}
DOCUMENTS = {
    "UPDATE billing_statement SET paid_out_micro = 1": DENIED,
    "DELETE FROM billing_statement": DENIED,
    "INSERT INTO billing_statemententry (statement_id, transfer_id, amount_micro) SELECT s.id, t.id, t.amount_micro"
    " FROM billing_statement s, billing_ledgertransfer t WHERE t.kind = 'top_up' LIMIT 1": MIRROR,
    "INSERT INTO billing_statemententry (statement_id, transfer_id, amount_micro) SELECT statement_id,"
    " transfer_id, amount_micro"
    " FROM billing_statemententry LIMIT 1": TWICE,
    "UPDATE billing_invoice SET total_micro = 0": DENIED,
    "UPDATE billing_invoiceline SET amount_micro = 0": DENIED,
    "UPDATE billing_payout SET amount_micro = 1": KEPT,
    "UPDATE billing_payout SET owner_id = owner_id + 1": KEPT,
    "UPDATE billing_payout SET status = 'scheduled', sent_id = NULL, command_id = NULL WHERE status = 'paid'": KEPT,
    "UPDATE billing_payout SET status = 'returned' WHERE status = 'scheduled'": CHECK,
    "INSERT INTO billing_payout (public_id, created_at, statement_id, owner_id, amount_micro, currency, due_at,"
    " status, posting_id)"
    " SELECT gen_random_uuid(), now(), min(id), min(owner_id), 5, 'USD', now(), 'scheduled',"
    " (SELECT min(id) FROM billing_ledgertransfer) FROM billing_statement": MIRROR,
    "INSERT INTO billing_refund (public_id, created_at, organization_id, top_up_id, command_id, amount_micro, currency,"
    " idempotency_key, status, transfer_id) SELECT gen_random_uuid(), now(), organization_id, top_up_id,"
    " command_id, 10^9::bigint,"
    " 'USD', 'again', 'requested', transfer_id FROM billing_refund LIMIT 1": MIRROR,
    "UPDATE billing_refund SET amount_micro = 1": KEPT,
    "UPDATE billing_carddispute SET amount_micro = 1": KEPT,
    "UPDATE billing_carddispute SET status = 'needs_response' WHERE status = 'won'": STATE,
    # The second operator
    "UPDATE billing_approval SET decided_by_id = proposed_by_id": CHECK,
    "UPDATE billing_approval SET params = '{\"a\": 1}'": KEPT,
    "INSERT INTO billing_approval (public_id, created_at, kind, params, summary, reason, idempotency_key,"
    " proposed_by_id, status,"
    " decided_by_id, decided_at) SELECT gen_random_uuid(), now(), 'adjust_customer', '{}', '', '', 'alone', id,"
    " 'done', id, now()"
    " FROM accounts_user LIMIT 1": CHECK,
    "UPDATE billing_approval SET status = 'proposed', decided_by_id = NULL, decided_at = NULL": STATE,
    "DELETE FROM billing_approval": DENIED,
    "INSERT INTO accounts_statetransition (machine, from_status, to_status) VALUES ('billing_payout', 'paid',"
    " 'scheduled')": DENIED,
}
PEOPLE = {
    "UPDATE accounts_consentrecord SET state = 'given'": DENIED,
    "DELETE FROM accounts_consentrecord": DENIED,
    "INSERT INTO accounts_consentrecord (created_at, public_id, owner_id, vehicle_id, notice_id, actor_id,"
    " purpose, state, method, at,"
    " expires_at, seq, payload, prev_hash, hash, signature) SELECT created_at, gen_random_uuid(), owner_id,"
    " vehicle_id, notice_id,"
    " actor_id, purpose, state, method, at, expires_at, seq + 9, payload, prev_hash, hash, signature"
    " FROM accounts_consentrecord LIMIT 1": CHAIN,
    "UPDATE accounts_consentnotice SET body = 'You agree to everything.'": DENIED,
    "INSERT INTO accounts_consentcurrent (owner_id, vehicle_id, purpose, record_id, state, notice_version)"
    " SELECT owner_id, vehicle_id, 'experiments', id, 'given', 1 FROM accounts_consentrecord LIMIT 1": DENIED,
    "UPDATE accounts_consentcurrent SET record_id = record_id + 1": DENIED,
    "UPDATE accounts_consentcurrent SET expires_at = NULL": DENIED,
    "UPDATE accounts_consentcurrent SET state = 'renewed'": CHAIN,
    "DELETE FROM accounts_consentcurrent": DENIED,
    "UPDATE accounts_auditevent SET action = 'nothing'": DENIED,
    "UPDATE accounts_auditevent SET details = '{}'": KEPT,
    "DELETE FROM accounts_auditevent": DENIED,
    "UPDATE accounts_accessevent SET actor_id = NULL": DENIED,
    "UPDATE accounts_vehicle SET owner_id = owner_id + 1": KEPT,
    "UPDATE compute_attempt SET owner_id = owner_id + 1": KEPT,
    "DELETE FROM compute_attempt": DENIED,
    "UPDATE compute_attempt SET status = 'leased' WHERE status = 'valid'": STATE,
    "INSERT INTO compute_attempt (unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence,"
    " status, expires_at)"
    " SELECT a.unit_id, a.job_id, b.node_id, b.vehicle_id, b.owner_id, b.consent_record_id + 10000, a.fence + 9,"
    " 'leased', now()"
    " FROM compute_attempt a JOIN compute_attempt b ON b.owner_id <> a.owner_id ORDER"
    " BY a.id DESC, b.id DESC LIMIT 1": CONSENT,
    "UPDATE compute_meterrecord SET compute_ms = 1": DENIED,
    "INSERT INTO compute_meterrecord (node_id, attempt_id, seq, prev_hash, hash, record, signature, outcome,"
    " compute_ms, energy_mwh,"
    " energy_method, output_sha256) SELECT node_id, attempt_id, seq + 100, prev_hash, hash, record, signature,"
    " outcome, 1, 1, '', ''"
    " FROM compute_meterrecord LIMIT 1": CHAIN,
    "UPDATE compute_usagerecord SET compute_ms = 1": KEPT,
    "UPDATE compute_usagerecord SET settled_at = NULL": KEPT,
    "DELETE FROM compute_usagerecord": DENIED,
}


@pytest.fixture
def login() -> Iterator[psycopg.Connection[Any]]:
    """Return a session that signed in as the role, in the test's database: RESET ROLE cannot make it the owner."""
    database = connection.settings_dict["NAME"]
    with psycopg.connect(
        make_conninfo(os.environ["DATABASE_URL"], dbname=database, user=ROLE), autocommit=True
    ) as session:
        yield session


def sqlstate(session: psycopg.Connection[Any], sql: str) -> str:
    """Return the SQLSTATE of the database's error, or "" if the statement succeeds. The statement is rolled back."""
    try:
        with session.transaction(force_rollback=True):
            session.execute("SET CONSTRAINTS ALL IMMEDIATE")
            session.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return ""


@pytest.mark.django_db(transaction=True)
def test_every_rule_holds_against_the_role(login):
    make_books()
    present()
    execute(
        "INSERT INTO accounts_accessevent (owner_id, kind, what, reason, at) SELECT id, 'staff_read', 'w', 'r', now()"
        " FROM accounts_owner LIMIT 1"
    )
    attacks = POWERS | MONEY | DOCUMENTS | PEOPLE
    assert {sql: sqlstate(login, sql) for sql in attacks} == attacks
    assert execute("SELECT count(*) FROM billing_ledgertransfer WHERE idempotency_key = 'forged'") == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_no_table_can_be_emptied_altered_or_taken(login):
    """The tables are read from the catalog, so that new ones are attacked as well."""
    with as_owner():
        tables = execute(db_role.TABLES)
    failed = {}
    for table, is_sequence, keeps_updates, keeps_deletes, events in tables:
        if is_sequence:
            continue
        attacks = {f"TRUNCATE {table} CASCADE", f"DROP TABLE {table}", f"ALTER TABLE {table} DISABLE TRIGGER ALL"}
        attacks |= {f"DELETE FROM {table}"} if keeps_deletes or events else set()
        attacks |= {f"INSERT INTO {table} DEFAULT VALUES"} if events or table in db_role.READ_ONLY else set()
        if keeps_updates or events:
            granted = db_role.COLUMNS.get(table, ())
            (column,) = execute(
                "SELECT min(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND attname <> ALL(%s)",
                table,
                list(granted),
            )[0]
            attacks.add(f'UPDATE {table} SET "{column}" = "{column}"')
        failed |= {sql: code for sql in attacks if (code := sqlstate(login, sql)) != DENIED}
    assert failed == {}
    assert sum(events for *_, events in tables) > 8
    assert sum(keeps_updates for _, _, keeps_updates, *_ in tables) > 30


@pytest.mark.django_db
def test_functions_that_write_for_the_role_can_be_neither_called_nor_bent():
    """Their search path is fixed, so they use no temporary table, and the role cannot create triggers with them."""
    rows = execute(
        "SELECT p.proname, p.prosecdef, p.prorettype = 'trigger'::regtype, has_function_privilege(%s, p.oid,"
        " 'EXECUTE'),"
        " 'search_path=public, pg_temp' = ANY(p.proconfig) FROM pg_proc p WHERE p.pronamespace ="
        " 'public'::regnamespace",
        ROLE,
    )
    assert {name for name, *_, pinned in rows if pinned} == {
        name for name, definer, trigger, *_ in rows if definer or trigger
    }
    assert not [name for name, definer, trigger, may_call, _ in rows if may_call and (definer or trigger)]
    assert {name for name, definer, *_ in rows if definer} == {
        "accounts_consent_project",
        "billing_ledger_move",
        "driveway_first_state",
        "driveway_transition",
    }


@pytest.mark.django_db
def test_the_role_has_no_power_that_it_must_not_have():
    assert execute(db_role.FORBIDDEN_POWERS, ROLE) == []
    with as_owner():
        execute(f"ALTER ROLE {ROLE} CREATEDB")
        assert execute(db_role.FORBIDDEN_POWERS, ROLE) == [("may create databases",)]
        with pytest.raises(db_role.RoleUnfit, match="may create databases"):
            db_role.grant(role=ROLE)


@pytest.mark.django_db
def test_a_new_table_is_granted_by_the_next_migrate_and_by_its_triggers():
    with as_owner():
        execute(
            "CREATE TABLE ordinary (id int); CREATE TABLE kept (id int);"
            " CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON kept"
            " FOR EACH ROW EXECUTE FUNCTION driveway_append_only()"
        )
        db_role.grant(role=ROLE)
    ask = (
        "SELECT string_agg(p, ' ') FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p WHERE"
        " has_table_privilege(%s, %s, p)"
    )
    assert execute(ask, ROLE, "ordinary") == [("INSERT UPDATE DELETE",)]
    assert execute(ask, ROLE, "kept") == [("INSERT",)]


@pytest.mark.django_db
def test_the_role_itself_cannot_migrate():
    with pytest.raises(CommandError, match="set DATABASE_OWNER_URL"):
        call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_a_database_of_before_the_migrations_were_folded_is_refused():
    """Django would take it for up to date: its migrations of today's names have been applied."""
    with as_owner():
        MigrationRecorder(connection).record_applied("billing", "0012_definers")
        with pytest.raises(CommandError, match=r"earlier version of Driveway \(billing.0012_definers"):
            call_command("migrate", verbosity=0)
