"""What was deleted: looked at, restored, purged, and removed for good when its time is over.

`registry` puts things into the trash, since deleting is its work; everything else about the trash is here.
"""
