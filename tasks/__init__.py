"""The tasks of the repository: a file a task, the data that teaches it and the recipe. Not in the wheel."""
