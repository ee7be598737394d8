"""Who is asking, and what may they do.

An `Authenticator` turns the Authorization header into a `Principal`; an `Authorizer` asks `decision` whether the
principal's grants, and the scopes of the token it came with, allow an action; a `TokenService` gives out the tokens.
Where identities come from (local accounts, an htpasswd file, somebody else's tokens) is chosen in `adapters/identity`.
"""
