"""Sign-in providers: OpenID Connect (`openid`), and OAuth 2.0 of GitHub's kind (`oauth`).

`code_flow` is what both share: the way there, and the code's exchange for a token. `fields` finds names and groups in
what they answer.
"""
