eet-verify --json --deep good.eet nan.eet
