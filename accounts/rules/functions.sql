-- Trigger functions that the rules of several tables use.

-- Refuses the statement that fires it: UPDATE, DELETE and TRUNCATE of append-only tables.
CREATE OR REPLACE FUNCTION driveway_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;

-- Refuses changes of status that accounts_statetransition does not list, and writes an event row for each allowed
-- change.
-- Use: AFTER UPDATE ... FOR EACH STATEMENT, REFERENCING OLD TABLE old_rows NEW TABLE new_rows.
-- Argument 1: machine (table name). Arguments 2 and 3, optional: event table and its foreign key column.
-- Nested loops are off because a session keeps its query plans: one made for a few rows would join thousands of old and
-- new rows in a nested loop.
CREATE OR REPLACE FUNCTION driveway_transition() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET enable_nestloop = off AS $$
DECLARE bad record;
BEGIN
    SELECT o.id, o.status AS was, n.status AS now INTO bad
      FROM new_rows n JOIN old_rows o ON o.id = n.id
     WHERE o.status <> n.status
       AND NOT EXISTS (SELECT FROM accounts_statetransition t
                        WHERE t.machine = TG_ARGV[0] AND t.from_status = o.status AND t.to_status = n.status)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% % cannot go from % to %', TG_ARGV[0], bad.id, bad.was, bad.now USING ERRCODE = 'DW001';
    END IF;
    IF TG_NARGS > 1 THEN
        EXECUTE format('INSERT INTO %I (%I, from_status, to_status, reason, at)
            SELECT n.id, o.status, n.status, n.status_code, clock_timestamp()
              FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE o.status <> n.status', TG_ARGV[1], TG_ARGV[2]);
    END IF;
    RETURN NULL;
END $$;
-- It writes as its owner, so its search path must not be the caller's.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION driveway_transition() SET search_path = %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION driveway_transition() FROM PUBLIC;
END $$;

-- Writes the first event of each new row. Use: AFTER INSERT, FOR EACH STATEMENT, with the same arguments and new_rows.
CREATE OR REPLACE FUNCTION driveway_first_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    EXECUTE format('INSERT INTO %I (%I, from_status, to_status, reason, at)
        SELECT n.id, '''', n.status, n.status_code, clock_timestamp() FROM new_rows n', TG_ARGV[1], TG_ARGV[2]);
    RETURN NULL;
END $$;
-- It writes as its owner, so its search path must not be the caller's.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION driveway_first_state() SET search_path = %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION driveway_first_state() FROM PUBLIC;
END $$;
