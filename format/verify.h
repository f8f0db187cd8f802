/* verify.h - level 2 of checking, and assets: what tools do with a .eet file
 * and libeet.so does not (SHA-256, zlib). */
#ifndef EET_FORMAT_VERIFY_H
#define EET_FORMAT_VERIFY_H

#include <stdint.h>

#include "format/container.h"

/* Level 2 on a file opened at level 0 or 1: SHA-256 of every tensor, asset and
 * the two digests of the header, zero padding everywhere. E_CORRUPT. */
eet_status eet_file_verify(eet_file *file, eet_error *err);

/* Makes assets that are compressed visible: inflates and checks their section. No-op when they
 * are raw or absent. eet_file_verify does it too. E_CORRUPT, E_MEMORY. */
eet_status eet_file_unpack_assets(eet_file *file, eet_error *err);

/* The same for provenance. */
eet_status eet_file_unpack_provenance(eet_file *file, eet_error *err);

/* The parts of level 2: are a tensor's or an asset's bytes those of its SHA-256, and are the two
 * digests of the header those of its parts? E_CORRUPT. */
eet_status eet_file_check_tensor(const eet_file *file, int32_t index, eet_error *err);
eet_status eet_file_check_asset(const eet_file *file, int32_t index, eet_error *err);
eet_status eet_file_check_digests(const eet_file *file, eet_error *err);

/* The digests as computed from the stored digests of the parts (docs/format.md,
 * "Digests"). */
eet_status eet_file_digests(const eet_file *file, uint8_t content[32], uint8_t weights[32],
                            eet_error *err);

/* SHA-256 of the whole file: what sha256sum prints. */
eet_status eet_file_sha256(const eet_file *file, uint8_t digest[32], eet_error *err);

/* An asset's raw bytes, checked against its SHA-256, with a zero byte after the last; free()
 * *out. */
eet_status eet_file_asset_read(const eet_file *file, int32_t index, uint8_t **out, uint64_t *bytes,
                               eet_error *err);

#endif
