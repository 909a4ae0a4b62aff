"""How files of other people are read: what the data sets of one's own share."""
