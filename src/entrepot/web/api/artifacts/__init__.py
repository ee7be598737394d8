"""What repositories hold: artifacts, their tags, labels and accessories, and the trash."""
