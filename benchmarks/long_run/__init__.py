"""The confusion study of `classify`: families of systems, an independent referee, and rules to compare the two."""
