"""Running a sweep on Ray: the only folder that imports it."""
