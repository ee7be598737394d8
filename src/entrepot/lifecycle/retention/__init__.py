"""Which tags a project keeps, by rules, in Harbor's words; what no rule keeps goes into the trash.

`rules` says what rules there are, `evaluation` decides about tags without looking anything up; `candidates` gives it
the tags of a repository, `policies` keeps the rules of projects, and `running` looks at a project's repositories one by
one and lets `removing` take away what no rule keeps. `executions` shows what runs did.
`expiry` is about images that say themselves how long their tags last.
"""
