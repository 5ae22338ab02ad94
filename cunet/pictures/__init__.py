"""Pictures for people: charts, curves, sheets of samples, colours, outlines."""
