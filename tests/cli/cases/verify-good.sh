eet-verify good.eet encdec.eet
