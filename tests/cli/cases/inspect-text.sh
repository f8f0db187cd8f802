# The whole of a file for people.
eet-inspect --sections good.eet
