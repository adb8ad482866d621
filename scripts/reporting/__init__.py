"""What a run showed, made readable: the report, its charts and videos, the page of methods."""
