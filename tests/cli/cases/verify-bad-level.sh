eet-verify --level 3 good.eet
