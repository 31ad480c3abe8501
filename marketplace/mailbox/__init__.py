"""A folder instead of a mail server, for development: every mail that the site sends becomes a file, shown at /mails/.

It exists only where settings.MAIL_FOLDER is set, which production never does. `make run` sets it.
"""
