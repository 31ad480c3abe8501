-- Rules of owners' statements. core/errors.py maps the SQLSTATEs to error codes.

-- An entry is a transfer on the `payable` account of the statement's owner, with the sign that it has there.
CREATE OR REPLACE FUNCTION billing_statement_entry_matches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.transfer_id INTO bad FROM new_rows n
      JOIN billing_statement s ON s.id = n.statement_id
      JOIN billing_ledgertransfer t ON t.id = n.transfer_id
      LEFT JOIN billing_ledgeraccount a ON a.kind = 'payable' AND a.owner_id = s.owner_id
            AND a.currency = s.currency AND a.id IN (t.debit_id, t.credit_id)
     WHERE a.id IS NULL
        OR n.amount_micro <> CASE WHEN t.credit_id = a.id THEN t.amount_micro ELSE -t.amount_micro END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not an entry of that statement', bad.transfer_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER entry_matches AFTER INSERT ON billing_statemententry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_statement_entry_matches();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_statement FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_statement
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_statemententry FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_statemententry
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_statementline FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_statementline
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
