eet-verify good.eet >/dev/full
