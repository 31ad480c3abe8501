"""The privileges of the application's database role, derived from PostgreSQL's catalog after every migration.

Deriving them from the catalog means that no new table can be forgotten. The role reads everything and writes rows. It
owns nothing, so it cannot change a table, trigger or function. It has no UPDATE or DELETE on append-only tables, and no
INSERT on tables that only the database writes (events of state machines). Triggers write those tables as the tables'
owner (SECURITY DEFINER), with a search path that the caller cannot change.
"""

from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from core.errors import DomainError

# Tables that only migrations write: the role may only read them.
READ_ONLY = ("django_migrations", "accounts_statetransition")
# Only triggers change balances and projections. To lock their rows (SELECT ... FOR UPDATE) the role still needs UPDATE
# on some column: it gets it on this one, which a guard trigger never lets it change.
MOVED_BY_TRIGGERS = {"billing_ledgeraccount": "key", "accounts_consentcurrent": "state"}
# Append-only tables with UPDATE on some columns: to lock rows (refunds of one top-up wait for each other), or because
# an erasure blanks the column. The table's trigger still refuses every other change.
COLUMNS = {"billing_topup": ("id",), "accounts_auditevent": ("details",), "accounts_accessevent": ("reason",)}

# Rows: relation, whether it is a sequence, whether a trigger refuses UPDATE, whether one refuses DELETE, whether only
# the database inserts (the relation is the event table of a state machine). Bits of pg_trigger.tgtype: 8 DELETE, 16
# UPDATE.
TABLES = r"""
WITH trigger AS (
    SELECT t.tgrelid, t.tgname, t.tgtype, f.proname, split_part(encode(t.tgargs, 'escape'), '\000', 2) AS events
      FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'D')
SELECT c.relname, c.relkind = 'S',
       COALESCE((SELECT bool_or(t.tgtype & 16 <> 0) FROM trigger t
                  WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'), false),
       COALESCE((SELECT bool_or(t.tgtype & 8 <> 0) FROM trigger t
                  WHERE t.tgrelid = c.oid AND t.tgname = 'append_only'), false),
       EXISTS (SELECT FROM trigger t
                WHERE t.events = c.relname AND t.proname IN ('driveway_transition', 'driveway_first_state'))
  FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND pg_has_role(c.relowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY c.relname
"""
# The role may not execute trigger functions or SECURITY DEFINER functions: a role that could name one in a CREATE
# TRIGGER of its own would write with the function owner's rights. Their search path is pinned to our schema.
FUNCTIONS = """
DO $$
DECLARE
    f record;
    path text := format('search_path=%s, pg_temp', quote_ident(current_schema()));
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name, p.prorettype = 'trigger'::regtype AS is_trigger,
                    p.prosecdef AS definer, COALESCE(path = ANY(p.proconfig), false) AS pinned
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
# Powers that the role has and must not have, in words. No row: the role is fit.
FORBIDDEN_POWERS = """
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
    """The role does not exist and cannot be created, or it has powers that the application's role must not have."""

    code = "role_unfit"
    status = 500


def grant(*, role: str, using: str = "default") -> None:
    """Give `role` the privileges that the application needs and revoke all others, in one transaction.

    Run it as the tables' owner, after migrating. Creates the role if it does not exist. Safe to run at the same time
    for several databases of one server, which share their roles. Raises RoleUnfit.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        refuse_app_role(role=role, cursor=cursor)
        create_role(role=role, cursor=cursor)
        _grant_schema(cursor, _quoted(role))
        _grant_tables(cursor, _quoted(role))
        cursor.execute(FUNCTIONS.format(role=_quoted(role)))
        cursor.execute(FORBIDDEN_POWERS, [role])
        powers = [what for (what,) in cursor.fetchall()]
        if powers:
            raise RoleUnfit(f"The role {role} {', '.join(powers)}. See .env.example, DATABASE_URL.")


def refuse_app_role(*, role: str, cursor: CursorWrapper) -> None:
    """Raise RoleUnfit when this session runs as the application's role, which may not migrate."""
    cursor.execute("SELECT current_user")
    if cursor.fetchone() == (role,):
        raise RoleUnfit(f"{role} cannot migrate: set DATABASE_OWNER_URL to the tables' owner. See .env.example.")


def create_role(*, role: str, cursor: Any) -> None:
    """Create the login role, without a password, unless it exists.

    Another session may create it at the same moment, for another database of this server: that counts as success.
    Raises RoleUnfit when the role is missing and this session may not create it.
    """
    cursor.execute(
        "SELECT rolcreaterole OR rolsuper, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
        " FROM pg_roles WHERE rolname = current_user",
        [role],
    )
    may_create, exists = cursor.fetchone()
    if exists:
        return
    if not may_create:
        raise RoleUnfit(
            f"The role {role} is missing. As an administrator: CREATE ROLE {_quoted(role)} LOGIN PASSWORD '...'"
        )
    cursor.execute(f"""DO $$ BEGIN CREATE ROLE {_quoted(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$""")


def privileges(table: str, keeps_updates: bool, keeps_deletes: bool, events: bool) -> tuple[str, ...]:
    """Return the privileges of the role on a table.

    `keeps_updates` and `keeps_deletes`: a trigger of the table refuses UPDATE or DELETE. `events`: only triggers
    insert.
    """
    if events or table in READ_ONLY:
        return ("SELECT",)
    if table in MOVED_BY_TRIGGERS:
        # The application opens ledger accounts, but only a trigger inserts projections.
        insert = ("INSERT",) if keeps_deletes else ()
        return ("SELECT", *insert, f"UPDATE ({MOVED_BY_TRIGGERS[table]})")
    if keeps_updates:
        return ("SELECT", "INSERT", *(f"UPDATE ({column})" for column in COLUMNS.get(table, ())))
    if keeps_deletes:
        return ("SELECT", "INSERT", "UPDATE")
    return ("SELECT", "INSERT", "UPDATE", "DELETE")


def _grant_schema(cursor: CursorWrapper, role: str) -> None:
    cursor.execute("SELECT quote_ident(current_database()), quote_ident(current_schema())")
    database, schema = cursor.fetchone()
    # A temporary table could shadow a real one in a trigger's search path.
    cursor.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")
    cursor.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
    cursor.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}")
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")


def _grant_tables(cursor: CursorWrapper, role: str) -> None:
    cursor.execute(TABLES)
    relations_by_grant: dict[str, list[str]] = {}  # relations with equal privileges share one GRANT
    for relation, is_sequence, *facts in cursor.fetchall():
        allowed = ("USAGE",) if is_sequence else privileges(relation, *facts)
        relations_by_grant.setdefault(", ".join(allowed), []).append(_quoted(relation))
    for granted, relations in relations_by_grant.items():
        kind = "SEQUENCE" if granted == "USAGE" else "TABLE"
        cursor.execute(f"REVOKE ALL ON {kind} {', '.join(relations)} FROM {role}")
        cursor.execute(f"GRANT {granted} ON {kind} {', '.join(relations)} TO {role}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
