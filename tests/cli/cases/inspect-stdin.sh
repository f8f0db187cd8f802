eet-inspect - <good.eet
