"""`backup`: backups by a schedule."""

from datetime import UTC, datetime
from typing import Annotated

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from entrepot.config.schema.cloud_storage import S3, Azure
from entrepot.config.section import Section
from entrepot.config.values import Count, Text, refuse


def _cron(line: str) -> str:
    try:
        CronSim(line, datetime.now(UTC))
    except CronSimError:
        raise refuse("must be a cron line of 5 fields, such as 30 2 * * *") from None
    return line


class Keep(Section):
    """Which backups stay when a new one has been made."""

    last: Count = Field(default=3, ge=1)
    """The newest of all."""
    daily: Count = Field(default=7, ge=0)
    """The newest of so many days."""
    weekly: Count = Field(default=4, ge=0)
    """The newest of so many weeks."""
    monthly: Count = Field(default=12, ge=0)
    """The newest of so many months."""
    yearly: Count = Field(default=0, ge=0)
    """The newest of so many years."""


class Backup(Section):
    """Backups by a schedule (our own section)."""

    target: Text = ""
    """Folder that holds the backups, on another disk best of all, `s3://BUCKET/PREFIX` or
    `azure://CONTAINER/PREFIX`. Empty: none are made."""
    s3: S3 | None = None
    """How that bucket is reached: keys as of `storage.s3`, but for `bucket` and `rootdirectory`. Not set: as
    `storage.s3` says, or as AWS's own programs find out."""
    azure: Azure | None = None
    """The same for Azure, but for `container` and `rootdirectory`. Not set: as `storage.azure` says."""
    key: Text = ""
    """File with the key that they are encrypted with. Keep a copy of it elsewhere. Empty: they are not."""
    schedule: Annotated[Text, AfterValidator(_cron)] = "30 2 * * *"
    """When, as a cron line in UTC. It can be changed while the registry runs."""
    keep: Keep = Keep()
    """Which backups stay when a new one has been made."""
