/* image.h - a .eet file in memory that tests damage, with hashes repaired as an attacker
 * would. Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_FORMAT_IMAGE_H
#define EET_TESTS_FORMAT_IMAGE_H

#include "format/file.h"
#include "tests/support/sample_model.h"

typedef struct eet_image {
    uint8_t *bytes; /* exactly `size`, so that a sanitizer sees their end */
    uint64_t size;
} eet_image;

/* Writes the model with two assets (config.json informative, vocab.txt functional) and
 * provenance, and reads the file back. */
eet_image eet_image_make(const eet_sample_model *model);
eet_image eet_image_copy(const eet_image *image);
void eet_image_free(eet_image *image);
/* Writes such a file to `path`. */
void eet_image_write(const char *path, const eet_sample_model *model,
                     const eet_writer_options *options);
/* A decoder of one layer in about 25 KB. */
eet_sample_model eet_image_tiny(void);

eet_disk_header *eet_image_header(const eet_image *image);
eet_disk_section *eet_image_section(const eet_image *image, uint32_t type);
eet_disk_tensor *eet_image_tensor(const eet_image *image, const char *name);
/* The value of a key of META. */
uint8_t *eet_image_value(const eet_image *image, const char *key);

/* Appends a section of `bytes` bytes (the last one of the table) on pages of its own. */
eet_disk_section *eet_image_append(eet_image *image, uint32_t type, uint16_t flags,
                                   const void *data, uint64_t bytes);
/* Appends an entry to META, whose key must come last. */
void eet_image_add_key(eet_image *image, const char *key, uint8_t type, uint8_t flags,
                       const void *value, uint32_t bytes);

/* Makes every hash of sections, table and header right again. */
void eet_image_repair(const eet_image *image);

/* Random numbers, the same on every run; `state` is not 0. */
uint64_t eet_image_random(uint64_t *state);
/* Changes a bit, a byte or a number somewhere in what describes `original`: header, table, META,
 * NAME, TENS, ASST, PROV. */
void eet_image_mutate(const eet_image *image, const eet_image *original, uint64_t *state);

/* Opens at level 0, 1 or 2; when that succeeds, touches everything that can be asked for. */
eet_status eet_image_open(const eet_image *image, int level, eet_error *err);

#endif
