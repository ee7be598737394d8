"""People of a directory (LDAP, Active Directory) as accounts of this registry.

`model` says what a directory is to us and what it tells of a person; `names` compares DNs; `people` makes and changes
the accounts of people the directory has just told of; `synchronization` goes through all of them. What speaks LDAP is
`adapters/identity/ldap`.
"""
