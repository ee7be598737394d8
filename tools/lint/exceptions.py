"""Where a rule is broken on purpose: the rule, the file, and why.

An entry that nothing needs any more is a finding itself.
"""

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("no-code-from-data", "src/entrepot/serving/process.py"): "the bytes come from the parent, over a pipe of its own",
    ("no-code-from-data", "src/entrepot/serving/fork_server.py"): "as above",
    ("no-code-from-data", "src/entrepot/serving/entry.py"): "the same bytes, unpacked by the child",
    ("no-code-from-data", "src/entrepot/serving/from_config.py"): "the same bytes, packed by the parent",
    ("no-code-from-data", "tests/unit/config/test_loading.py"): "shows that a configuration survives that way",
    ("no-sleep", "src/entrepot/metadata/engine/host_lease.py"): "another machine's file gives nothing to wait on",
    (
        "no-sleep",
        "src/entrepot/serving/announcement.py",
    ): "a listening socket of another process gives nothing to wait on",
    (
        "one-way-out",
        "src/entrepot/serving/health_checks.py",
    ): "asks the addresses that the operator lists under `health`",
    (
        "one-way-out",
        "src/entrepot/adapters/blobs/objects/s3_errors.py",
    ): "asks nobody: names what the S3 client raises, which asks the store that the operator's file names",
    (
        "one-way-out",
        "src/entrepot/adapters/blobs/objects/azure.py",
    ): "reads blobs from the service that the operator's file names, in one request each",
    ("one-way-out", "src/entrepot/adapters/blobs/objects/gcs.py"): "asks the service that the operator's file names",
    (
        "one-way-out",
        "src/entrepot/adapters/blobs/objects/gcs_sign_in.py",
    ): "what Google's library asks for tokens with, of whom the operator's credentials name",
    (
        "no-string-built-sql",
        "src/entrepot/metadata/migrations/kept_sums.py",
    ): "triggers take no parameters; all that is put together is written there",
    ("no-string-built-sql", "src/entrepot/metadata/migrations/noted_changes.py"): "as above",
    (
        "no-string-built-sql",
        "src/entrepot/metadata/engine/sqlite_check.py",
    ): "tables and columns are no parameters; their names are read from the schema, which is ours",
    (
        "no-string-built-sql",
        "src/entrepot/metadata/engine/postgres_gatherer.py",
    ): "wraps statements that the query builder made; their values stay parameters",
    (
        "no-string-built-sql",
        "src/entrepot/metadata/move/sqlite_side.py",
    ): "the same statement for each table; names of tables and columns are no parameters, and all values are",
    ("no-string-built-sql", "src/entrepot/metadata/move/postgres_side.py"): "as above",
    ("no-code-from-data", "tools/mutants/runner.py"): "compiles our own code, a little changed",
    ("no-code-from-data", "tests/unit/test_mutants.py"): "looks whether such code can be compiled",
}
