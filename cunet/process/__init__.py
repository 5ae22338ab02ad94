"""The process of a command: its streams, the signals that end it, and the limits of its memory."""
