"""The executors behind `metadata.database`: SQLite with its writer thread and its files, and PostgreSQL."""
