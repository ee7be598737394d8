"""Where backups are kept: the adapters of the backup port (`backup/ports.py`)."""
