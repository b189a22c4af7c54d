"""What a user sees: lines and tables, progress, the preview of a plan, its shopping list and what it will take."""
