"""The kinds of jobs. Importing this package registers them: add a line for each new module."""
