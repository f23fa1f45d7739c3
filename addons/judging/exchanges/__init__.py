"""Hash lists fetched from exchanges (NCMEC, StopNCII, a file share), on a schedule, each in a process of its own."""
