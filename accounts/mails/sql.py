"""SQL that queues mails to thousands of people in one statement."""


def queue_from(rows: str) -> str:
    """Return an INSERT that queues a mail for each row of the query `rows`.

    `rows` has the columns user_id, kind, context (jsonb) and dedupe_key; its parameters stay parameters of the INSERT.
    A row whose dedupe_key is queued already is left out, so the statement's row count is the number of new mails. Call
    `outbox.wake` when it is not zero.
    """
    return f"""
INSERT INTO accounts_mail (user_id, kind, context, dedupe_key, due_at, attempts, created_at, dropped_code)
SELECT mail.user_id, mail.kind, mail.context, mail.dedupe_key, now(), 0, now(), '' FROM ({rows}) mail
ON CONFLICT (dedupe_key) DO NOTHING
"""  # noqa: S608 - `rows` is a query in our own code
