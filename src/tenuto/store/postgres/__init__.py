"""The PostgreSQL store: one database, any number of processes that own its partitions between them."""
