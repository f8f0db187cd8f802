/* verify_against.c - what eet-verify --against says, as text and as JSON. */
#include "format/commands/verify_against.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/cli/text.h"

enum { NAMED = 16 };

static const char *const kinds[] = {
    [EET_AGAINST_EQUAL] = "equal",
    [EET_AGAINST_VALUES] = "values",
    [EET_AGAINST_SHAPE] = "shape",
    [EET_AGAINST_NOT_IN_FILE] = "not in the file",
    [EET_AGAINST_NOT_IN_CHECKPOINT] = "not in the checkpoint",
};

static void print_row(const char *command, const eet_against_row *row) {
    eet_shown shown;

    (void)fprintf(stderr, "%s: note: tensor \"%s\": ", command,
                  eet_show(&shown, row->name, strlen(row->name)));
    if (row->kind != EET_AGAINST_VALUES) {
        (void)fprintf(stderr, "%s%s\n",
                      row->kind == EET_AGAINST_SHAPE ? "of another shape in the checkpoint" : "",
                      row->kind == EET_AGAINST_SHAPE ? "" : kinds[row->kind]);
        return;
    }
    (void)fprintf(stderr,
                  "%" PRIu64 " of %" PRIu64 " values differ, by %.3g at most; the first is number "
                  "%" PRIu64 ", %.9g, in the checkpoint %.9g\n",
                  row->differing, row->count, row->most, row->first, row->in_file,
                  row->in_checkpoint);
}

void eet_against_print(const char *command, const char *path, const char *source,
                       const eet_against *against) {
    eet_shown file;
    eet_shown checkpoint;
    int32_t named = 0;

    (void)fprintf(stderr, "%s: error: %s: %d of %d tensors are not those of %s\n", command,
                  eet_show(&file, path, strlen(path)), (int)against->differing, (int)against->rows,
                  eet_show(&checkpoint, source, strlen(source)));
    for (int32_t i = 0; i < against->rows && named < NAMED; i++) {
        if (against->row[i].kind != EET_AGAINST_EQUAL) {
            print_row(command, &against->row[i]);
            named++;
        }
    }
    if (against->differing > named) {
        (void)fprintf(stderr, "%s: note: and %d tensors more; --json lists all\n", command,
                      (int)(against->differing - named));
    }
}

static eet_json *row_json(const eet_against_row *row) {
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "name", row->name);
    eet_json_set_string(object, "is", kinds[row->kind]);
    eet_json_set_integer(object, "values", (int64_t)row->count);
    eet_json_set_integer(object, "differing", (int64_t)row->differing);
    eet_json_set_real(object, "max_difference", row->most);
    if (row->kind == EET_AGAINST_VALUES) {
        eet_json *first = eet_json_object();

        eet_json_set_integer(first, "index", (int64_t)row->first);
        eet_json_set_real(first, "file", row->in_file);
        eet_json_set_real(first, "checkpoint", row->in_checkpoint);
        eet_json_set(object, "first", first);
    }
    return object;
}

eet_json *eet_against_json(const char *source, const eet_against *against) {
    eet_json *object = eet_json_object();
    eet_json *list = eet_json_array();

    for (int32_t i = 0; i < against->rows; i++) {
        eet_json_append(list, row_json(&against->row[i]));
    }
    eet_json_set_string(object, "source", source);
    eet_json_set_bool(object, "equal", against->differing == 0);
    eet_json_set_integer(object, "differing", against->differing);
    eet_json_set(object, "tensors", list);
    return object;
}
