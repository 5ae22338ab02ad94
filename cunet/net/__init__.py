"""The network: its layers, its shape, its sizes, and the file it is kept in."""
