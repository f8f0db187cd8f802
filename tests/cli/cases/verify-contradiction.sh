eet-verify --quick --deep good.eet
