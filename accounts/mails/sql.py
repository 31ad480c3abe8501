"""Queue many mails in one statement of SQL, for those who write to thousands of people at once."""


def queue_from(rows: str) -> str:
    """Return an INSERT that queues a mail for each row of the query `rows`, which has the columns user_id, kind, context
    (jsonb) and dedupe_key. A mail whose key exists is left out; the statement's row count is the number of new ones.

    Parameters of `rows` stay parameters. Call `outbox.wake` when there were any.
    """
    return f"""
INSERT INTO accounts_mail (user_id, kind, context, dedupe_key, due_at, attempts, created_at, dropped_code)
SELECT mail.user_id, mail.kind, mail.context, mail.dedupe_key, now(), 0, now(), '' FROM ({rows}) mail
ON CONFLICT (dedupe_key) DO NOTHING
"""  # noqa: S608 - a query of ours
