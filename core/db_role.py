"""What the application's own database role may do: worked out from the catalog after every migration, so that no table is forgotten.

The role reads everything and writes rows. It owns nothing, so it can change no table, trigger or function; it has no UPDATE or
DELETE where rows are kept for ever, and no INSERT where only the database writes (events of state machines). What triggers
write there they write as the tables' owner (SECURITY DEFINER), with a search path that the caller cannot bend.
"""

from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from core.errors import DomainError

# Written by migrations and by the database itself, read by everybody.
READ_ONLY = ("django_migrations", "accounts_statetransition")
# Balances and projections are moved by triggers. A row lock needs UPDATE on a column: one that a guard never lets change.
MOVED_BY_TRIGGERS = {"billing_ledgeraccount": "key", "accounts_consentcurrent": "state"}
# Append-only tables whose rows are locked (refunds of one top-up wait for each other), or blanked by an erasure. The trigger
# still refuses all but that.
COLUMNS = {"billing_topup": ("id",), "accounts_auditevent": ("details",), "accounts_accessevent": ("reason",)}

# relation, whether it is a sequence, whether updates and deletions are refused, whether the database alone inserts. tgtype: 8 is DELETE, 16 is UPDATE.
TABLES = r"""
WITH trigger AS (
    SELECT t.tgrelid, t.tgname, t.tgtype, f.proname, split_part(encode(t.tgargs, 'escape'), '\000', 2) AS events
      FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'D')
SELECT c.relname, c.relkind = 'S',
       COALESCE((SELECT bool_or(t.tgtype & 16 <> 0) FROM trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'), false),
       COALESCE((SELECT bool_or(t.tgtype & 8 <> 0) FROM trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'), false),
       EXISTS (SELECT FROM trigger t WHERE t.events = c.relname AND t.proname IN ('driveway_transition', 'driveway_first_state'))
  FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY c.relname
"""
# Trigger functions are for triggers: who could name one in a CREATE TRIGGER of their own would write with its owner's rights.
FUNCTIONS = """
DO $$
DECLARE
    f record;
    path text := format('search_path=%s, pg_temp', quote_ident(current_schema()));
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name, p.prorettype = 'trigger'::regtype AS is_trigger, p.prosecdef AS definer,
                    COALESCE(path = ANY(p.proconfig), false) AS pinned
               FROM pg_proc p
              WHERE p.pronamespace = current_schema()::regnamespace AND pg_has_role(p.proowner, 'USAGE')
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, {role}', f.name);
        IF NOT (f.is_trigger OR f.definer) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {role}', f.name);
        ELSIF NOT f.pinned THEN
            EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f.name, current_schema());
        END IF;
    END LOOP;
END $$
"""
POWERS = """
SELECT what FROM pg_roles r, LATERAL (VALUES
    ('is a superuser', r.rolsuper), ('may create roles', r.rolcreaterole), ('may create databases', r.rolcreatedb),
    ('may replicate', r.rolreplication), ('bypasses row security', r.rolbypassrls),
    ('is a member of another role', EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)),
    ('owns something', EXISTS (SELECT FROM pg_shdepend d WHERE d.refobjid = r.oid AND d.deptype = 'o')),
    ('may create objects in this database', has_database_privilege(r.oid, current_database(), 'CREATE')),
    ('may make temporary tables', has_database_privilege(r.oid, current_database(), 'TEMP')),
    ('may create objects in a schema', EXISTS (SELECT FROM pg_namespace n WHERE n.nspname !~ '^pg_'
                                                  AND has_schema_privilege(r.oid, n.oid, 'CREATE'))),
    ('may switch triggers off', has_parameter_privilege(r.oid, 'session_replication_role', 'SET'))
) AS power (what, has) WHERE r.rolname = %s AND has
"""


class RoleUnfit(DomainError):
    """The role is not there and cannot be made, or may do more than the application's role must."""

    code = "role_unfit"
    status = 500


def grant(*, role: str, using: str = "default") -> None:
    """Give `role` what the application needs and take away all else, in one transaction. As the tables' owner, after migrating.

    Makes the role if it is not there. Any number of databases of one server may do this at once. Raises RoleUnfit.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        refuse_as_owner(role=role, cursor=cursor)
        make(role=role, cursor=cursor)
        _grant_schema(cursor, _quoted(role))
        _grant_tables(cursor, _quoted(role))
        cursor.execute(FUNCTIONS.format(role=_quoted(role)))
        cursor.execute(POWERS, [role])
        powers = [what for (what,) in cursor.fetchall()]
        if powers:
            raise RoleUnfit(f"The role {role} {', '.join(powers)}. See .env.example, DATABASE_URL.")


def refuse_as_owner(*, role: str, cursor: CursorWrapper) -> None:
    """Raises RoleUnfit when this session is the application's own: it may not migrate."""
    cursor.execute("SELECT current_user")
    if cursor.fetchone() == (role,):
        raise RoleUnfit(f"{role} cannot migrate: set DATABASE_OWNER_URL to the tables' owner. See .env.example.")


def make(*, role: str, cursor: Any) -> None:
    """Make the login role, without a password, unless it is there: another database of this server may make it meanwhile."""
    cursor.execute(
        "SELECT rolcreaterole OR rolsuper, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
        " FROM pg_roles WHERE rolname = current_user",
        [role],
    )
    may, exists = cursor.fetchone()
    if exists:
        return
    if not may:
        raise RoleUnfit(
            f"The role {role} is missing. As an administrator: CREATE ROLE {_quoted(role)} LOGIN PASSWORD '...'"
        )
    cursor.execute(f"""DO $$ BEGIN CREATE ROLE {_quoted(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$""")


def privileges(table: str, keeps_updates: bool, keeps_deletes: bool, events: bool) -> tuple[str, ...]:
    """What the role may do to the rows of a table, by the triggers that it has."""
    if events or table in READ_ONLY:
        return ("SELECT",)
    if table in MOVED_BY_TRIGGERS:
        insert = ("INSERT",) if keeps_deletes else ()  # accounts are opened by the application, projections are not
        return ("SELECT", *insert, f"UPDATE ({MOVED_BY_TRIGGERS[table]})")
    if keeps_updates:
        return ("SELECT", "INSERT", *(f"UPDATE ({column})" for column in COLUMNS.get(table, ())))
    if keeps_deletes:
        return ("SELECT", "INSERT", "UPDATE")
    return ("SELECT", "INSERT", "UPDATE", "DELETE")


def _grant_schema(cursor: CursorWrapper, role: str) -> None:
    cursor.execute("SELECT quote_ident(current_database()), quote_ident(current_schema())")
    database, schema = cursor.fetchone()
    # Temporary tables could stand in for real ones in a trigger's search path.
    cursor.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")
    cursor.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
    cursor.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}")
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")


def _grant_tables(cursor: CursorWrapper, role: str) -> None:
    cursor.execute(TABLES)
    alike: dict[str, list[str]] = {}
    for relation, is_sequence, *facts in cursor.fetchall():
        allowed = ("USAGE",) if is_sequence else privileges(relation, *facts)
        alike.setdefault(", ".join(allowed), []).append(_quoted(relation))
    for granted, relations in alike.items():
        kind = "SEQUENCE" if granted == "USAGE" else "TABLE"
        cursor.execute(f"REVOKE ALL ON {kind} {', '.join(relations)} FROM {role}")
        cursor.execute(f"GRANT {granted} ON {kind} {', '.join(relations)} TO {role}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
