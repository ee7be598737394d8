"""What all commands have in common: their classes and help, which registry they mean, and how they print.

`classes` makes commands out of functions and gives each the options that say which registry is meant; `registry_choice`
decides it, out of these, of variables and of the context that `saved_context` keeps; `logins` keeps what `entrepot
login` got.
"""
