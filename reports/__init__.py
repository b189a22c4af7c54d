"""Reports: stored results -> tables, figures and one page. Knows `results` and nothing else."""
