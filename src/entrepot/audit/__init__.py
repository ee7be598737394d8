"""The audit log: who did what, from where and with which result, in an order that nobody can change unseen.

Events are written by the transactions that make them (`metadata.events`). Here they are chained, verified, searched,
exported, forwarded and, when their time is over, removed.
"""
