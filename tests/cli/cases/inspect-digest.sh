#!/usr/bin/env bash
# The digests; "file" is what sha256sum prints.
eet-inspect --digest good.eet
eet-inspect --digest=content good.eet
eet-inspect --digest=weights good.eet
eet-inspect --digest=weights --json good.eet
[ "$(eet-inspect --digest=file good.eet)" = "sha256:$(sha256sum <good.eet | cut -d ' ' -f 1)" ]
