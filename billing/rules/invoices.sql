-- Rules of invoices. core/errors.py maps the SQLSTATEs to error codes.

-- An entry is a transfer that charged the invoice's customer (positive) or gave a charge back (negative).
CREATE OR REPLACE FUNCTION billing_invoice_entry_matches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.transfer_id INTO bad FROM new_rows n
      JOIN billing_invoice i ON i.id = n.invoice_id
      JOIN billing_ledgertransfer t ON t.id = n.transfer_id
      LEFT JOIN billing_ledgeraccount d ON d.id = t.debit_id AND d.kind = 'hold' AND t.kind IN ('share', 'revenue')
            AND d.organization_id = i.organization_id AND d.currency = i.currency
      LEFT JOIN billing_ledgeraccount c ON c.id = t.credit_id AND c.kind IN ('wallet', 'promo_wallet')
            AND t.kind = 'correction' AND c.organization_id = i.organization_id AND c.currency = i.currency
     WHERE n.amount_micro IS DISTINCT FROM
           CASE WHEN d.id IS NOT NULL THEN t.amount_micro WHEN c.id IS NOT NULL THEN -t.amount_micro END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not an entry of that invoice', bad.transfer_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER entry_matches AFTER INSERT ON billing_invoiceentry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_invoice_entry_matches();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_invoice FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_invoiceentry FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_invoiceentry
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_invoiceline FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_invoiceline
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
