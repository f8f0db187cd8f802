/* file.h - an open .eet file from the inside: shared by the steps of the reader. */
#ifndef EET_FORMAT_FILE_H
#define EET_FORMAT_FILE_H

#include "format/container.h"
#include "format/layout.h"

/* A section that was copied to the heap before it was checked. */
typedef struct eet_block {
    uint8_t *bytes;
    uint64_t size, base; /* base: in the file */
} eet_block;

struct eet_file {
    int fd;               /* -1 for memory */
    const uint8_t *bytes; /* the whole file: mapped, copied or borrowed */
    uint64_t size;
    bool mapped, copied;
    uint8_t page[EET_PAGE]; /* a copy of page 0 */
    eet_disk_header header;
    eet_disk_section *sections; /* (header.section_count) */
    eet_block meta, names, tensors, assets, prov;
    eet_kv_view meta_view, prov_view;
    bool has_prov;
    eet_facts facts;
    const eet_disk_tensor *directory; /* (header.tensor_count), in `tensors` */
    char *name_text;                  /* every name, terminated */
    uint32_t *name_at;                /* (tensor_count) in name_text */
    uint32_t *by_role;                /* (tensor_count) directory indexes by (role, layer) */
};

/* The steps, in the order of docs/format.md, "Order of checks". */
eet_status eet_file_read(const eet_file *file, uint64_t offset, void *out, uint64_t bytes,
                         eet_error *err);
eet_status eet_file_load_page(eet_file *file, eet_error *err);     /* header and section table */
eet_status eet_file_load_metadata(eet_file *file, eet_error *err); /* META, NAME, PROV, ASST */
eet_status eet_file_load_tensors(eet_file *file, eet_error *err);  /* TENS and overlaps */
eet_status eet_file_bind(eet_file *file, eet_error *err);          /* facts against tensors */

#define EET_FOURCC(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
enum {
    EET_SECTION_REQUIRED = 1,
    EET_SECTION_TENSOR_DATA = 2,
    EET_CODEC_RAW = 0,
    EET_CODEC_ZLIB = 1
};

/* The first section of a type, or NULL. */
const eet_disk_section *eet_file_section_of(const eet_file *file, uint32_t type);

#endif
