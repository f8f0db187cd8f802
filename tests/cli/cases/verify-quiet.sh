eet-verify -q good.eet
