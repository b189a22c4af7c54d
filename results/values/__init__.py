"""Values from outside: names, numbers and text, bounded and made fit to be shown. Every part but `methods` uses it."""
