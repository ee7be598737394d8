"""Which tags a project keeps, by rules, in Harbor's words; what no rule keeps goes into the trash.

`rules` says what rules there are, `evaluation` decides about tags without looking anything up; `candidates` gives it
the tags of a repository, `policies` keeps the rules of projects, and `running` looks at a project's repositories one by
one: `visiting` lets `judging` write down verdicts, `gathering` put together what goes, and `removing` take it away.
`executions` shows what runs did, and `forgetting` keeps that within bounds.
`expiry` is about images that say themselves how long their tags last.
"""
