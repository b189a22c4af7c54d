"""One HTML file with the whole report: it opens from disk and asks nothing of any network."""
