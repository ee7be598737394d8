"""The one way out: every HTTP request that this registry makes of somebody else goes through `Client`.

    settings    what the operator allows: own networks, a proxy, an own authority
    urls        the one strict reader of addresses
    addresses   which network addresses may be asked
    guard       name → addresses, looked up once and all of them checked
    transport   one exchange with the addresses that were checked, read up to a limit
    client      redirects, deadlines, and what goes along with them

Whoever can make a server ask for an address of their choice can reach what only the server reaches (hardening of
proxies, webhooks, sign-in providers). So the check and the connection are about the same address: the name is looked
up once, and what was checked is what is connected to.
"""
