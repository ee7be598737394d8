"""Changes the code a little, many times, and looks whether the tests notice: `make mutants`.

`mutations` finds the places that can be changed and makes a change, `covering` learns which tests reach a line, and
`runner` runs those tests on the changed code, in a process forked from one that has imported everything else.
`areas.toml` says what belongs to an area; `alike.toml` names changes that make no difference, each with its reason.
"""
