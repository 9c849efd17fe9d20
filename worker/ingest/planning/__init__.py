"""Which column plays what: by what was asked, and by what types, names and first rows tell."""
