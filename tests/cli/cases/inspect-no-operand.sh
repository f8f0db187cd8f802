eet-inspect
