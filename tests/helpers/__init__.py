"""What several test modules import: models, data and tables, no tests."""
