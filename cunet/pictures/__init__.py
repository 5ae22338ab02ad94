"""Pictures for people: charts, colours, outlines."""
