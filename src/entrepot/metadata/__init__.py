"""The truth, in SQL: tables, queries and migrations; nobody above sees which database or driver it is."""
