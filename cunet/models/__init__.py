"""The networks that come with cunet; each has its card beside it."""
