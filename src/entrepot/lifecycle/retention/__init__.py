"""Which tags a project keeps, by rules, in Harbor's words; what no rule keeps goes into the trash.

`rules` says what rules there are, `evaluation` decides about tags without looking anything up; `candidates` gives it
the tags of a repository, `policies` keeps the rules of projects, and `policy_run` looks at a project's repositories one
by one: `repository_visits` lets `repository_evaluation` write down verdicts, `removal_batches` put together what goes,
and `removal` take it away. `executions` shows what runs did, and `verdict_expiry` keeps that within bounds. `expiry` is
about images that say themselves how long their tags last.
"""
