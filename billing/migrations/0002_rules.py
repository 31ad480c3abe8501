"""What the database refuses about money, whoever asks. SQLSTATEs are named in core/errors.py.

The role that the application uses in production needs SELECT and INSERT on the ledger's two tables and no
UPDATE: balances are moved by a function with the rights of the tables' owner.
"""

from django.db import migrations

# Repeats TRANSITIONS of the model as it was at this migration; tests/billing/test_orders.py compares the two.
TRANSITIONS = {"billing_joborder": {"held": ["closed"]}}

ROUNDING = """
-- core.money.round_half_even, for numerator >= 0 and denominator > 0: rounded once, half to even.
CREATE FUNCTION billing_round_half_even(numerator numeric, denominator numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (div(numerator, denominator) + CASE
        WHEN 2 * mod(numerator, denominator) > denominator THEN 1
        WHEN 2 * mod(numerator, denominator) = denominator THEN mod(div(numerator, denominator), 2)
        ELSE 0 END)::bigint
$$;
"""

LEDGER = """
-- An account starts empty; who it belongs to never changes; its balance moves in billing_ledger_move() only.
CREATE FUNCTION billing_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance_micro <> 0 OR NEW.version <> 0 THEN
            RAISE EXCEPTION 'ledger account % must start at zero', NEW.key USING ERRCODE = 'DW002';
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(OLD) - 'balance_micro' - 'version' <> to_jsonb(NEW) - 'balance_micro' - 'version' THEN
        RAISE EXCEPTION 'ledger account % cannot change', OLD.key USING ERRCODE = 'DW002';
    END IF;
    -- 1 is this trigger; a statement inside the trigger on transfers runs one deeper.
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'only a transfer moves ledger account %', OLD.key USING ERRCODE = 'DW002';
    END IF;
    IF NEW.floor_zero AND NEW.balance_micro < 0 THEN
        RAISE EXCEPTION 'The % does not cover this.', NEW.kind USING ERRCODE = 'DW005', DETAIL = NEW.key;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_guard BEFORE INSERT OR UPDATE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_account_guard();
CREATE TRIGGER append_only BEFORE DELETE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();

-- The fingerprint says what a transfer does: one key may not do two things. `posted_at` cannot be backdated.
CREATE FUNCTION billing_transfer_fingerprint() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE first_fingerprint text;
BEGIN
    NEW.posted_at := clock_timestamp();
    NEW.fingerprint := encode(sha256(convert_to(concat_ws('|',
        NEW.kind, NEW.debit_id, NEW.credit_id, NEW.amount_micro, NEW.currency, COALESCE(NEW.reverses_id, 0)),
        'UTF8')), 'hex');
    SELECT fingerprint INTO first_fingerprint FROM billing_ledgertransfer
     WHERE idempotency_key = NEW.idempotency_key;
    IF FOUND AND first_fingerprint <> NEW.fingerprint THEN
        RAISE EXCEPTION 'The key % was used for another transfer.', NEW.idempotency_key
            USING ERRCODE = 'DW006';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fingerprint BEFORE INSERT ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION billing_transfer_fingerprint();

-- Once a statement: check that each transfer fits its accounts, then move every tracked account by its sum.
-- Rows are locked in the order of their ids, so that statements wait for each other, and never in a circle.
CREATE FUNCTION billing_ledger_move() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE bad record;
BEGIN
    SELECT n.idempotency_key INTO bad FROM new_rows n
      LEFT JOIN billing_ledgeraccount d ON d.id = n.debit_id
      LEFT JOIN billing_ledgeraccount c ON c.id = n.credit_id
     WHERE n.currency IS DISTINCT FROM d.currency OR n.currency IS DISTINCT FROM c.currency
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not in the currency of its accounts', bad.idempotency_key
            USING ERRCODE = 'DW007';
    END IF;
    SELECT n.idempotency_key INTO bad
      FROM new_rows n JOIN billing_ledgertransfer was ON was.id = n.reverses_id
     WHERE was.reverses_id IS NOT NULL
        OR (n.debit_id, n.credit_id, n.amount_micro)
           IS DISTINCT FROM (was.credit_id, was.debit_id, was.amount_micro)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not the reverse of the one it names', bad.idempotency_key
            USING ERRCODE = 'DW007';
    END IF;
    PERFORM FROM billing_ledgeraccount a
      WHERE a.tracked AND a.id IN (SELECT debit_id FROM new_rows UNION SELECT credit_id FROM new_rows)
      ORDER BY a.id FOR NO KEY UPDATE;
    UPDATE billing_ledgeraccount a
       SET balance_micro = a.balance_micro + a.side * moved.delta_micro, version = a.version + moved.transfers
      FROM (SELECT account_id, sum(amount_micro)::bigint AS delta_micro, count(*) AS transfers
              FROM (SELECT debit_id AS account_id, amount_micro FROM new_rows
                    UNION ALL SELECT credit_id, -amount_micro FROM new_rows) legs
             GROUP BY account_id) moved
     WHERE a.id = moved.account_id AND a.tracked;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_move AFTER INSERT ON billing_ledgertransfer REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_move();
"""

ORDERS = """
-- The price and the hold of an order are bound; what it has cost only grows, and only until it is closed.
CREATE FUNCTION billing_order_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE may_change constant text[] := '{charged_micro,status,status_code,closed_at}';
BEGIN
    IF OLD.status = 'closed' OR NEW.charged_micro < OLD.charged_micro
       OR to_jsonb(OLD) - may_change <> to_jsonb(NEW) - may_change THEN
        RAISE EXCEPTION 'order % cannot change like that', OLD.id USING ERRCODE = 'DW002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_guard BEFORE UPDATE ON billing_joborder
    FOR EACH ROW EXECUTE FUNCTION billing_order_guard();
CREATE TRIGGER append_only BEFORE DELETE ON billing_joborder
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER transition AFTER UPDATE ON billing_joborder
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_joborder');
"""

RATED = """
-- A rating belongs to one usage record, to the order of that record's job, and to transfers that exist.
CREATE FUNCTION billing_rated_matches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.usage_id INTO bad FROM new_rows n
      LEFT JOIN compute_usagerecord u ON u.id = n.usage_id
      LEFT JOIN billing_joborder o ON o.id = n.order_id
      LEFT JOIN billing_ledgertransfer t ON t.id = n.owner_transfer_id
      LEFT JOIN billing_ledgertransfer r ON r.id = n.revenue_transfer_id
     WHERE o.job_id IS NULL OR u.job_id IS DISTINCT FROM o.job_id
        OR (n.owner_transfer_id, n.revenue_transfer_id) IS DISTINCT FROM (t.id, r.id)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the rating of usage record % fits no order or transfer', bad.usage_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER rated_matches AFTER INSERT ON billing_ratedusage REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_rated_matches();
"""

APPEND_ONLY_TABLES = ["billing_ledgertransfer", "billing_ratecard", "billing_ratedusage", "billing_topup"]
KEPT_TABLES = [*APPEND_ONLY_TABLES, "billing_ledgeraccount", "billing_joborder"]


def append_only(table: str) -> str:
    return f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
"""


def never_truncated(table: str) -> str:
    return f"""
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=machine, from_status=old, to_status=new)
        for machine, allowed in TRANSITIONS.items()
        for old, news in allowed.items()
        for new in news
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0002_rules")]

    operations = [
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        migrations.RunSQL(ROUNDING, migrations.RunSQL.noop),
        migrations.RunSQL(LEDGER, migrations.RunSQL.noop),
        migrations.RunSQL(ORDERS, migrations.RunSQL.noop),
        migrations.RunSQL(RATED, migrations.RunSQL.noop),
        *(migrations.RunSQL(append_only(table), migrations.RunSQL.noop) for table in APPEND_ONLY_TABLES),
        *(migrations.RunSQL(never_truncated(table), migrations.RunSQL.noop) for table in KEPT_TABLES),
    ]
