"""One module a command of `annotator`; imported when the command is called."""
