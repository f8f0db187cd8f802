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
    int fd;               /* while it is being opened; else, and for memory, -1 */
    const uint8_t *bytes; /* the whole file: mapped, copied or borrowed */
    uint64_t size;
    bool mapped, copied;
    uint8_t page[EET_PAGE]; /* a copy of page 0 */
    eet_disk_header header;
    eet_disk_section *sections; /* (header.section_count) */
    eet_block meta, names, tensors, prov;
    eet_block assets; /* the table and the names; all of the section when it was inflated */
    bool assets_inflated;
    char *asset_names; /* (count) of EET_ASSET_NAME_ROOM bytes, terminated */
    eet_kv_view meta_view, prov_view;
    bool has_prov;
    eet_facts facts;
    const eet_disk_tensor *directory; /* (header.tensor_count), in `tensors` */
    char *name_text;                  /* every name, terminated */
    uint32_t *name_at;                /* (tensor_count) in name_text */
    uint32_t *by_role;                /* (tensor_count) directory indexes by (role, layer) */
    uint32_t *by_offset;              /* (data_count) non-aliases in order of their bytes */
    uint32_t data_count;
};

#define EET_FOURCC(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define EET_SECTION_META EET_FOURCC('M', 'E', 'T', 'A')
#define EET_SECTION_NAME EET_FOURCC('N', 'A', 'M', 'E')
#define EET_SECTION_TENS EET_FOURCC('T', 'E', 'N', 'S')
#define EET_SECTION_QUAN EET_FOURCC('Q', 'U', 'A', 'N')
#define EET_SECTION_VOCB EET_FOURCC('V', 'O', 'C', 'B')
#define EET_SECTION_ASST EET_FOURCC('A', 'S', 'S', 'T')
#define EET_SECTION_PROV EET_FOURCC('P', 'R', 'O', 'V')
#define EET_SECTION_DATA EET_FOURCC('D', 'A', 'T', 'A')
#define EET_SECTION_PACK EET_FOURCC('P', 'A', 'C', 'K')
#define EET_NO_TENSOR    UINT32_MAX /* alias_of and quant of an entry that has none */
enum {
    EET_VERSION_MAJOR = 1,
    EET_VERSION_MINOR = 0,
    EET_FILE_SEALED = 1,
    EET_SECTION_REQUIRED = 1,
    EET_SECTION_TENSOR_DATA = 2,
    EET_CODEC_RAW = 0,
    EET_CODEC_ZLIB = 1,
    EET_TENSOR_ALIGN = 256, /* of every tensor inside DATA */
    EET_LARGE_ALIGN = 4096, /* of a tensor of at least EET_LARGE_BYTES */
    EET_LARGE_BYTES = 64 << 10,
    EET_MAX_TENSORS = 1048576,
    EET_MAX_NAME = 255,
    EET_MAX_BLOCK = 64 << 20, /* META, NAME and PROV */
    EET_MAX_ASSETS = 256,
    EET_MAX_ASSET_NAME = 128,
    EET_ASSET_NAME_ROOM = EET_MAX_ASSET_NAME + 1,
    EET_MAX_ASSET = 256 << 20,
    EET_MAX_TENSOR_DIM_LOG2 = 40,
    EET_MAX_FILE_LOG2 = 46
};

/* One asset in the table at the head of ASST, which is `u32 count, u32 zero` and these. The
 * names follow the table without gaps in its order; the bytes of each asset follow the names in
 * the same order, each at the next multiple of 8. */
typedef struct eet_disk_asset {
    uint32_t kind;      /*  0  1 functional, 2 informative       */
    uint16_t name_len;  /*  4  1..128                            */
    uint16_t zero;      /*  6                                    */
    uint64_t off;       /*  8  inside the raw section            */
    uint64_t len;       /* 16                                    */
    uint8_t sha256[32]; /* 24                                    */
    uint64_t name_off;  /* 56  inside the raw section            */
} eet_disk_asset;
_Static_assert(sizeof(eet_disk_asset) == 64, "ast");
enum { EET_ASSET_FUNCTIONAL = 1, EET_ASSET_INFORMATIVE = 2, EET_ASSET_HEAD = 8 };

/* The steps, in the order of docs/format.md, "Order of checks". */
eet_status eet_file_read(const eet_file *file, uint64_t offset, void *out, uint64_t bytes,
                         eet_error *err);
eet_status eet_file_load_page(eet_file *file, eet_error *err);     /* header and section table */
eet_status eet_file_load_metadata(eet_file *file, eet_error *err); /* META, NAME, PROV, ASST */
eet_status eet_file_load_tensors(eet_file *file, eet_error *err);  /* TENS and overlaps */
eet_status eet_file_bind(eet_file *file, eet_error *err);          /* facts against tensors */

/* The table of assets at the head of `block`; `raw_bytes` is the size of the whole section. */
eet_status eet_file_check_assets(const eet_block *block, uint64_t raw_bytes, eet_error *err);
/* Copies the names of a table that was checked. */
eet_status eet_file_name_assets(eet_file *file, eet_error *err);
/* Asset `index` of a table that was checked. */
eet_disk_asset eet_file_disk_asset(const eet_file *file, int32_t index);
/* The hash that the section table has for DATA section `section`. */
eet_status eet_file_data_hash(const eet_file *file, uint32_t section, uint64_t out[2],
                              eet_error *err);
/* The place of entry `index` as a number that sorts by role, then layer. */
uint32_t eet_file_place(const eet_file *file, uint32_t index);
/* The entry in a place of the model, or -1; by_role is sorted. */
int64_t eet_file_find_place(const eet_file *file, uint16_t role, int32_t layer);

/* Are `bytes` bytes all zero? */
bool eet_is_zero(const void *data, uint64_t bytes);

/* The first section of a type, or NULL. */
const eet_disk_section *eet_file_section_of(const eet_file *file, uint32_t type);

#endif
