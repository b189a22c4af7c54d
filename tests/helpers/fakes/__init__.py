"""What stands in for the world or for results: datasets, archives, servers, records, methods and checks."""
