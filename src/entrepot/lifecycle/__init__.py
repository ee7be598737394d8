"""What becomes of images in time: trash, collection, retention, immutable tags and quotas.

A thing that is deleted goes to the trash; when its time there is over, it is removed; a blob that nothing refers to any
more is collected after its grace. What takes long is given a `telemetry.progress.Progress`.
"""
