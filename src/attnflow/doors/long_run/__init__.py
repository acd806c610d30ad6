"""The long run: `classify` and its verdicts, equilibria, mean matching, `falsify`."""
