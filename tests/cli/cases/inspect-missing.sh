eet-inspect nowhere.eet
