/* layout.h - the structures of a .eet v1 file: little-endian, no implicit
 * padding. docs/format.md is the norm; a field's comment starts with its byte. */
#ifndef EET_FORMAT_LAYOUT_H
#define EET_FORMAT_LAYOUT_H
#include <stddef.h>
#include <stdint.h>

#include "eet_types.h"

#define EET_MAGIC \
    "\x89"        \
    "EET\r\n\x1a\n"
enum { EET_PAGE = 4096, EET_MAX_SECTIONS = 60 };
typedef struct {                  /* 256 bytes at file offset 0            */
    uint8_t magic[8];             /*   0                                    */
    uint16_t ver_major;           /*   8  = 1                               */
    uint16_t ver_minor;           /*  10  writer's minor                    */
    uint16_t min_reader_minor;    /*  12  smallest minor that reads it right*/
    uint16_t header_bytes;        /*  14  = 256                             */
    uint32_t endian_tag;          /*  16  = 0x01020304 as LE                */
    uint16_t section_count;       /*  20                                    */
    uint16_t section_entry_bytes; /*  22  = 64                              */
    uint64_t section_table_off;   /*  24  = 256                             */
    uint64_t file_bytes;          /*  32  exact st_size                     */
    uint32_t tensor_count;        /*  40                                    */
    uint32_t flags;               /*  44  bit0 sealed; rest must be 0       */
    uint8_t content_sha256[32];   /*  48  digest of the model content       */
    uint8_t weights_sha256[32];   /*  80  digest of the tensors only        */
    uint8_t uuid_reserved[16];    /* 112  zero                              */
    uint8_t reserved[112];        /* 128  zero                              */
    uint64_t table_xxh3;          /* 240  XXH3-64 of section table          */
    uint64_t header_xxh3;         /* 248  XXH3-64 of bytes 0..247           */
} eet_disk_header;
typedef struct {            /* 64 bytes                               */
    uint32_t type;          /*   0  fourcc                            */
    uint16_t flags;         /*   4  bit0 REQUIRED bit1 TENSOR_DATA    */
    uint8_t codec;          /*   6  0 raw, 1 zlib                     */
    uint8_t align_log2;     /*   7                                    */
    uint64_t offset;        /*   8  from file start                   */
    uint64_t stored_bytes;  /*  16                                    */
    uint64_t raw_bytes;     /*  24                                    */
    uint64_t xxh3_128[2];   /*  32  of the stored bytes (low, high)   */
    uint16_t sec_ver_major; /*  48                                    */
    uint16_t sec_ver_minor; /*  50                                    */
    uint32_t index;         /*  52  ordinal inside its type           */
    uint64_t reserved;      /*  56  zero                              */
} eet_disk_section;
typedef struct {                 /* 192 bytes                              */
    uint32_t name_off;           /*   0  in NAME section                   */
    uint16_t name_len;           /*   4  1..255                            */
    uint8_t dtype;               /*   6                                    */
    uint8_t rank;                /*   7  0..6                              */
    uint64_t dims[EET_MAX_RANK]; /*   8  logical; unused = 1               */
    uint64_t offset;             /*  56  inside its DATA section           */
    uint64_t nbytes;             /*  64  stored bytes                      */
    uint16_t section;            /*  72  index in section table            */
    uint16_t layout;             /*  74  0 = row-major contiguous          */
    uint16_t role;               /*  76  EET_ROLE_*                        */
    int16_t layer;               /*  78  -1 when none                      */
    uint32_t flags;              /*  80  bit0 ALIAS bit1 SYNTH bit2 REQ    */
    uint32_t alias_of;           /*  84  0xFFFFFFFF when none              */
    uint32_t quant;              /*  88  index in QUAN, 0xFFFFFFFF none    */
    uint32_t reserved0;          /*  92                                    */
    uint64_t xxh3_128[2];        /*  96                                    */
    uint8_t sha256[32];          /* 112                                    */
    uint8_t reserved[48];        /* 144                                    */
} eet_disk_tensor;
typedef struct {           /* 96 bytes                               */
    uint16_t scheme;       /*   0  EET_Q_*                           */
    uint8_t scale_dtype;   /*   2                                    */
    uint8_t zero_mode;     /*   3  0 none 1 u4 packed 2 float        */
    uint8_t axis;          /*   4  output axis = 0                   */
    uint8_t pack;          /*   5  nibble order etc.                 */
    uint16_t flags;        /*   6  bit0 act-order g_idx present      */
    uint32_t group;        /*   8  elements along K; 0 = whole row   */
    uint32_t block_n;      /*  12  rows per block for 2-D blocks     */
    uint32_t scale_tensor; /*  16  directory index                   */
    uint32_t zero_tensor;  /*  20                                    */
    uint32_t meta_tensor;  /*  24  2:4 metadata                      */
    uint32_t gidx_tensor;  /*  28                                    */
    uint8_t orig_dtype;    /*  32                                    */
    uint8_t sparsity;      /*  33  0 dense, 1 = 2:4 along K          */
    uint8_t reserved[62];  /*  34                                    */
} eet_disk_quant;
_Static_assert(sizeof(eet_disk_header) == 256, "hdr");
_Static_assert(offsetof(eet_disk_header, header_xxh3) == 248, "hdr");
_Static_assert(sizeof(eet_disk_section) == 64, "sec");
_Static_assert(256 + 64 * EET_MAX_SECTIONS == EET_PAGE, "page 0 = header + 60 sections");
_Static_assert(sizeof(eet_disk_tensor) == 192 && offsetof(eet_disk_tensor, sha256) == 112, "ten");
_Static_assert(sizeof(eet_disk_quant) == 96, "qnt");
#endif
