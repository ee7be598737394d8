"""Where a rule is broken on purpose: the rule, the file, and why.

An entry that nothing needs any more is a finding itself.
"""

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("no-code-from-data", "src/entrepot/serving/process.py"): "the bytes come from the parent, over a pipe of its own",
    ("no-code-from-data", "src/entrepot/serving/entry.py"): "the same bytes, unpacked by the child",
    ("no-code-from-data", "src/entrepot/serving/from_config.py"): "the same bytes, packed by the parent",
    ("no-code-from-data", "tests/unit/config/test_loading.py"): "shows that a configuration survives that way",
    ("no-sleep", "src/entrepot/metadata/host_lease.py"): "another machine's file gives nothing to wait on",
    (
        "no-sleep",
        "src/entrepot/serving/announcement.py",
    ): "a listening socket of another process gives nothing to wait on",
    (
        "one-way-out",
        "src/entrepot/serving/health_checks.py",
    ): "asks the addresses that the operator lists under `health`",
}
