"""A job in a process of its own: who starts it, keeps its lease and hears that it is to stop; one or one per device."""
