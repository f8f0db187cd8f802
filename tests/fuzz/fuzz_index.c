/* fuzz_index.c - the index of a checkpoint from a stranger: whatever it says, it names plain
 * files alone, and every tensor is found again. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/index.h"
#include "tests/fuzz/target.h"

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void look(const eet_index *index) {
    require(index->count > 0 && index->files > 0 && index->files <= index->count);
    for (int32_t i = 0; i < index->files; i++) {
        const char *name = index->file[i];

        require(name[0] != '\0' && strlen(name) <= 128 && strchr(name, '/') == NULL);
        require(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
        require(i == 0 || strcmp(index->file[i - 1], name) < 0);
    }
    for (int32_t i = 0; i < index->count; i++) {
        const eet_index_entry *entry = &index->entry[i];

        require(entry->file >= 0 && entry->file < index->files && entry->number == -1);
        require(eet_index_find(index, entry->tensor) == entry);
    }
    require(eet_index_find(index, "") == NULL || index->entry[0].bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    eet_index index;
    eet_error err = {0};
    const int fd = open(eet_fuzz_file(data, size), O_RDONLY | O_CLOEXEC);

    require(fd >= 0);
    if (eet_index_read(fd, size, &index, &err) == EET_OK) {
        look(&index);
        eet_index_free(&index);
    }
    (void)close(fd);
    return 0;
}
