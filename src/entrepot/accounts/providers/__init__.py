"""People whom another service vouches for (OpenID Connect, or OAuth 2.0 of GitHub's kind).

    model      what a provider is to us, and what it tells of a person
    mapping    from names, groups and claims to who may enter and who may everything
    pending    what a browser carries for us while its owner is at the provider
    people     the accounts of such people: made, changed, closed
    sign_in    there and back: begin, complete, choose a name, say goodbye
    checking   asking the provider again, in the background

An account of a provider works as long as the provider goes on vouching for it: each answer moves its end further. When
the provider no longer knows the person, the account is closed at once, and its keys with it; when the provider cannot
be asked, the account ends by itself after a stated time. A later sign-in opens it again. An administrator's `disabled`
is another thing, which no provider undoes.
"""
