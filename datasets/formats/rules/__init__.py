"""How named arrays become episodes: written rules, and what `keys=` says in their place."""
