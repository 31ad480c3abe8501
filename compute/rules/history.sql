-- History: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- History needs consent in force for its purpose (TG_ARGV[0]) and a node of the same vehicle. The lock FOR SHARE makes
-- a withdrawal wait for this transaction, or this transaction wait for the withdrawal.
CREATE OR REPLACE FUNCTION compute_history_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad bigint;
BEGIN
    PERFORM FROM accounts_consentcurrent c
      WHERE c.purpose = TG_ARGV[0] AND c.vehicle_id IN (SELECT vehicle_id FROM new_rows)
      ORDER BY c.id FOR SHARE OF c;
    SELECT n.vehicle_id INTO bad FROM new_rows n
      LEFT JOIN compute_node d ON d.id = n.node_id AND d.vehicle_id = n.vehicle_id
     WHERE d.id IS NULL OR NOT accounts_consent_in_force(n.vehicle_id, TG_ARGV[0]) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'vehicle % has no consent in force for %', bad, TG_ARGV[0] USING ERRCODE = 'DW003';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER history_consent AFTER INSERT ON compute_availabilityspan REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_history_consent('availability');
CREATE OR REPLACE TRIGGER history_consent AFTER INSERT ON compute_healthday REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_history_consent('reliability');
