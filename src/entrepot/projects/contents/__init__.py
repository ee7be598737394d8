"""What repositories hold, as people look at it: repositories, artifacts, their tags, labels and parts."""
