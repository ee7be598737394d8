"""Directories that speak LDAP.

`settings` says what to ask where, `filters` builds the questions, `connection` is one conversation with one server,
`servers` chooses among several, `entries` reads answers, `membership` follows groups into groups, `directory` puts it
together as the port `accounts.directory.model.Directory`, and `accounts.directory.sign_in` lets people sign in with it.

libldap is reached through python-ldap in threads: it lets other threads run while it waits, and its time-outs hold for
connecting and for the TLS handshake too. (bonsai, the asynchronous binding, does neither: a server that accepts
connections and says nothing stopped the whole process for as long as it liked.)
"""
