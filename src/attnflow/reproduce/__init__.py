"""Published figures and tables, computed again and held against reference numbers."""
