-- Rules of rated usage. core/errors.py maps the SQLSTATEs to error codes.

-- Rated usage refers to an existing usage record, to the order of that record's job, and to existing transfers. This
-- check replaces foreign keys: it runs once for each SQL statement instead of once for each row.
CREATE OR REPLACE FUNCTION billing_rated_matches() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE TRIGGER rated_matches AFTER INSERT ON billing_ratedusage REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_rated_matches();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ratedusage
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ratedusage
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
