"""Commands over the management API: against a server by its URL, or against the data folder without one.

Both ways a command sends the same request and gets the same answer; on the data folder the API runs in the own process
of the command, and its caller is the operator.
"""
