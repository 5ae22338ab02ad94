"""Objects as data: the numbers of each object, and its outline as ImageJ has it."""
