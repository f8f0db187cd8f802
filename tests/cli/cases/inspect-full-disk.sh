eet-inspect good.eet >/dev/full
