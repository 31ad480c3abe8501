-- Rules of the ledger: accounts and transfers. core/errors.py maps the SQLSTATEs to error codes.

-- An account starts at zero and never changes, except for its balance, which only billing_ledger_move() changes.
CREATE OR REPLACE FUNCTION billing_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
    -- The depth is 1 for an UPDATE by a client, and 2 for an UPDATE by the trigger function on transfers.
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'only a transfer moves ledger account %', OLD.key USING ERRCODE = 'DW002';
    END IF;
    IF NEW.floor_zero AND NEW.balance_micro < 0 THEN
        RAISE EXCEPTION 'The % does not cover this.', NEW.kind USING ERRCODE = 'DW005', DETAIL = NEW.key;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER account_guard BEFORE INSERT OR UPDATE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_account_guard();

-- Computes the fingerprint of what a transfer does, and refuses a key that was used for something else. Sets
-- `posted_at`, so that it cannot be backdated.
CREATE OR REPLACE FUNCTION billing_transfer_fingerprint() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE TRIGGER fingerprint BEFORE INSERT ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION billing_transfer_fingerprint();

-- Runs once for each SQL statement: checks that every transfer fits its accounts, then adds to every tracked account
-- the sum of its transfers. Accounts are locked in the order of their ids, so that statements wait for each other and
-- cannot deadlock. Checking here replaces foreign keys: accounts and transfers are never deleted (append_only), so a
-- reference stays valid. The transfers are summed into arrays before any table is read. A session keeps the query plan
-- of its first statement, and a plan made for ten thousand transfers joined to accounts would read all accounts for
-- each single transfer that follows.
CREATE OR REPLACE FUNCTION billing_ledger_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE ids bigint[]; currencies text[]; deltas_micro bigint[]; counts bigint[]; bad record;
BEGIN
    SELECT array_agg(account_id), array_agg(currency), array_agg(delta_micro), array_agg(transfers)
      INTO ids, currencies, deltas_micro, counts
      FROM (SELECT account_id, currency, sum(amount_micro)::bigint AS delta_micro, count(*) AS transfers
              FROM (SELECT debit_id AS account_id, currency, amount_micro FROM new_rows
                    UNION ALL SELECT credit_id, currency, -amount_micro FROM new_rows) legs
             GROUP BY account_id, currency) moved;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT m.account_id, m.currency, a.id IS NULL AS is_unknown INTO bad
      FROM unnest(ids, currencies) m (account_id, currency) LEFT JOIN billing_ledgeraccount a ON a.id = m.account_id
     WHERE m.currency IS DISTINCT FROM a.currency
     LIMIT 1;
    IF FOUND AND bad.is_unknown THEN
        RAISE EXCEPTION 'there is no ledger account %', bad.account_id USING ERRCODE = 'foreign_key_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'ledger account % is not in %', bad.account_id, bad.currency USING ERRCODE = 'DW007';
    END IF;
    SELECT n.idempotency_key, was.id IS NULL AS is_unknown INTO bad
      FROM new_rows n
      LEFT JOIN LATERAL (SELECT * FROM billing_ledgertransfer WHERE id = n.reverses_id OFFSET 0) was ON true
     WHERE n.reverses_id IS NOT NULL
       AND (was.id IS NULL OR was.reverses_id IS NOT NULL
            OR (n.debit_id, n.credit_id, n.amount_micro)
               IS DISTINCT FROM (was.credit_id, was.debit_id, was.amount_micro))
     LIMIT 1;
    IF FOUND AND bad.is_unknown THEN
        RAISE EXCEPTION 'transfer % reverses one that does not exist', bad.idempotency_key
            USING ERRCODE = 'foreign_key_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'transfer % is not the reverse of the one it names', bad.idempotency_key
            USING ERRCODE = 'DW007';
    END IF;
    PERFORM FROM billing_ledgeraccount WHERE tracked AND id = ANY(ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE billing_ledgeraccount a
       SET balance_micro = a.balance_micro + a.side * m.delta_micro, version = a.version + m.transfers
      FROM unnest(ids, deltas_micro, counts) m (account_id, delta_micro, transfers)
     WHERE a.id = m.account_id AND a.tracked;
    RETURN NULL;
END $$;
-- The function writes with its owner's rights (SECURITY DEFINER). Its search path is fixed, so that the caller cannot
-- make it use another table of the same name.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION billing_ledger_move() SET search_path = %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION billing_ledger_move() FROM PUBLIC;
END $$;
CREATE OR REPLACE TRIGGER ledger_move AFTER INSERT ON billing_ledgertransfer REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_move();

CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ledgeraccount
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ledgertransfer
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
