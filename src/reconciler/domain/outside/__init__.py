"""Values that describe the systems around us in our own words; clients make them, stages and plans read them."""
