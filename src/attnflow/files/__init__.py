"""What is read from and written to disk: problem files, results, descriptions of models."""
