"""Pages that no single app owns: the public ones, and those that show work and money together."""
