from django.db import connection, models


def next_id(model: type[models.Model]) -> int:
    """The id of a row that is still to be written: two rows that name each other need one beforehand."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [model._meta.db_table])
        return int(cursor.fetchone()[0])
