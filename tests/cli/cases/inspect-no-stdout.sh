eet-inspect good.eet >&-
