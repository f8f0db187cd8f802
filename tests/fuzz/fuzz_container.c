/* fuzz_container.c - a .eet file from a stranger: opened at level 1, with its hashes
 * repaired first, and walked when it opens. */
#include <stdlib.h>
#include <string.h>

#include "format/checksum.h"
#include "format/container.h"
#include "format/file.h"
#include "tests/fuzz/target.h"

/* An attacker repairs every hash; without this nothing behind them is ever reached. */
static void repair(uint8_t *bytes, size_t size) {
    eet_disk_header header;

    memcpy(&header, bytes, sizeof header);
    header.file_bytes = size;
    header.section_count = header.section_count > EET_MAX_SECTIONS ? 8 : header.section_count;
    for (uint32_t i = 0; i < header.section_count; i++) {
        uint8_t *at = bytes + 256 + 64 * (size_t)i;
        eet_disk_section section;

        memcpy(&section, at, sizeof section);
        if ((section.flags & EET_SECTION_TENSOR_DATA) == 0 && section.offset <= size &&
            section.stored_bytes <= size - section.offset) {
            const eet_xxh3 hash = eet_xxh3_128(bytes + section.offset, section.stored_bytes);

            memcpy(section.xxh3_128, hash.word, sizeof section.xxh3_128);
            memcpy(at, &section, sizeof section);
        }
    }
    header.table_xxh3 = eet_xxh3_64(bytes + 256, 64 * (uint64_t)header.section_count);
    memcpy(bytes, &header, sizeof header);
    header.header_xxh3 = eet_xxh3_64(bytes, 248);
    memcpy(bytes, &header, sizeof header);
}

/* Touches what a user of an opened file may touch. */
static void walk(const eet_file *file) {
    volatile uint8_t sink = 0;
    eet_error err = {0};

    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor t = eet_file_tensor_at(file, i);
        eet_file_tensor found;

        sink = *(const uint8_t *)t.data;
        sink = ((const uint8_t *)t.data)[t.bytes - 1];
        if (!eet_file_tensor_named(file, t.name, &found) || found.index != i) {
            abort();
        }
    }
    (void)sink;
    (void)eet_file_check_tensors(file, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *bytes = NULL;
    eet_file *file = NULL;
    eet_error err = {0};

    if (size < EET_PAGE || posix_memalign(&bytes, 4096, size) != 0) {
        return 0;
    }
    memcpy(bytes, data, size);
    repair(bytes, size);
    if (eet_file_open_memory(bytes, size, 0, &file, &err) == EET_OK) {
        walk(file);
        eet_file_close(file);
    }
    free(bytes);
    return 0;
}
