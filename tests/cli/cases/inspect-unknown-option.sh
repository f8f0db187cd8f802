eet-inspect --tensro x good.eet
