: >empty.eet
eet-inspect empty.eet
