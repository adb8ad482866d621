"""The command itself: words to settings, help, completion, what is said when something is wrong."""
