/* names.c - takes away what wrappers put around the names of tensors. */
#include "converter/names.h"

#include <stdlib.h>
#include <string.h>

#include "converter/arch.h"

static bool begins_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

/* Bytes of leading wrappers. */
static uint32_t wrapped_bytes(const char *name) {
    uint32_t cut = 0;

    for (int w = 0; eet_wrappers[w] != NULL; w++) {
        if (begins_with(name + cut, eet_wrappers[w])) {
            cut += (uint32_t)strlen(eet_wrappers[w]);
            w = -1; /* any number of them, in any order */
        }
    }
    return cut;
}

static void remove_inside(char *text) {
    for (int w = 0; eet_wrappers_inside[w] != NULL; w++) {
        const size_t length = strlen(eet_wrappers_inside[w]);
        char *at = NULL;

        while ((at = strstr(text, eet_wrappers_inside[w])) != NULL) {
            memmove(at, at + length, strlen(at + length) + 1);
        }
    }
}

/* `old` at the end of the name, as whole components. */
static char *old_end(char *text, const char *old) {
    const size_t length = strlen(text);
    const size_t tail = strlen(old);

    if (length < tail || strcmp(text + length - tail, old) != 0) {
        return NULL;
    }
    return length == tail || text[length - tail - 1] == '.' ? text + length - tail : NULL;
}

static eet_status make_one(const char *name, uint32_t more, eet_plain_name *out) {
    const eet_rename_row *row = eet_rename_rows;
    char *end = NULL;

    out->cut = wrapped_bytes(name) + more;
    out->text = malloc(strlen(name) + 8); /* a new end is at most a little longer */
    if (out->text == NULL) {
        return EET_E_MEMORY;
    }
    strcpy(out->text, name + out->cut);
    remove_inside(out->text);
    while (row->old != NULL && (end = old_end(out->text, row->old)) == NULL) {
        row++;
    }
    if (row->old != NULL) {
        strcpy(end, row->now);
        out->renamed = true;
    }
    return EET_OK;
}

static bool all_begin_with(const eet_source *source, const char *start) {
    const int32_t count = eet_source_count(source);

    for (int32_t i = 0; i < count; i++) {
        const char *name = eet_source_at(source, i)->name;

        if (!begins_with(name + wrapped_bytes(name), start)) {
            return false;
        }
    }
    return count > 0;
}

eet_status eet_names_make(const eet_source *source, eet_plain_name **out, eet_error *err) {
    const int32_t count = eet_source_count(source);
    const uint32_t more =
        all_begin_with(source, eet_wrapper_of_all) ? (uint32_t)strlen(eet_wrapper_of_all) : 0;
    eet_plain_name *names = calloc((size_t)count + 1, sizeof *names);
    eet_status status = names != NULL ? EET_OK : EET_E_MEMORY;

    for (int32_t i = 0; status == EET_OK && i < count; i++) {
        status = make_one(eet_source_at(source, i)->name, more, &names[i]);
    }
    if (status != EET_OK) {
        eet_names_free(names, count);
        return eet_fail(err, status, EET_NOWHERE, "no memory for the names of tensors");
    }
    *out = names;
    return EET_OK;
}

void eet_names_free(eet_plain_name *names, int32_t count) {
    for (int32_t i = 0; names != NULL && i < count; i++) {
        free(names[i].text);
    }
    free(names);
}
