"""The networks that come with cunet, each with its card beside it."""
