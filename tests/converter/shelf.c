/* shelf.c - a checkpoint without a file, and models made from it. */
#include "tests/converter/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/suite.h"

enum { STORAGE = 4096, MAX_TENSORS = 4096 };

typedef struct shelf {
    unsigned char fill[MAX_TENSORS];
} shelf;

static eet_status open_shelf(eet_source *source, eet_error *err) {
    (void)source;
    (void)err;
    return EET_OK;
}

static void close_shelf(eet_source *source) {
    free(source->state);
}

static uint64_t shelf_bytes(const eet_source *source, int32_t storage) {
    (void)source;
    (void)storage;
    return STORAGE;
}

static eet_status shelf_read(eet_source *source, int32_t storage, void *data, eet_error *err) {
    (void)err;
    memset(data, ((const shelf *)source->state)->fill[storage], STORAGE);
    return EET_OK;
}

static const eet_source_reader reader = {"shelf",     open_shelf, close_shelf,
                                         shelf_bytes, shelf_read, NULL};

eet_source *make_source(void) {
    eet_source *source = calloc(1, sizeof *source);

    source->reader = &reader;
    source->state = calloc(1, sizeof(shelf));
    source->fd = -1;
    source->cached = -1;
    source->path = strdup("shelf");
    source->name = source->path;
    return source;
}

void add_filled(eet_source *source, const char *name, uint64_t rows, uint64_t columns,
                unsigned char fill) {
    const eet_source_tensor tensor = {.name = name,
                                      .name_bytes = (uint32_t)strlen(name),
                                      .dtype = EET_SRC_F32,
                                      .rank = columns > 0 ? 2 : 1,
                                      .shape = {rows, columns},
                                      .stride = {columns > 0 ? columns : 1, 1},
                                      .storage = source->count};

    ((shelf *)source->state)->fill[source->count] = fill;
    ck_assert_int_eq(eet_source_add(source, &tensor, NULL), EET_OK);
}

void add(eet_source *source, const char *name, uint64_t rows, uint64_t columns) {
    add_filled(source, name, rows, columns, 0);
}

void add_pair(eet_source *s, const char *name, uint64_t rows, uint64_t columns, const char *weight,
              const char *bias) {
    char text[128];

    (void)snprintf(text, sizeof text, "%s.%s", name, weight);
    add(s, text, rows, columns);
    (void)snprintf(text, sizeof text, "%s.%s", name, bias);
    add(s, text, rows, 0);
}

void read_config(model *m, const char *text) {
    eet_json *root = NULL;

    ck_assert_int_eq(eet_json_parse(text, strlen(text), &root, &m->err), EET_OK);
    ck_assert_msg(eet_config_read(root, NULL, &m->config, &m->notes, &m->err) == EET_OK, "%s",
                  m->err.text);
    eet_json_free(root);
}

void end(model *m) {
    eet_plan_free(&m->plan);
    eet_config_free(&m->config);
    eet_notes_free(&m->notes);
    eet_source_close(m->source);
}

eet_status match(model *m, const char *allow) {
    return eet_match(m->source, &m->config, allow, &m->plan, &m->err);
}

void expect_failure(model *m, eet_status expected, const char *says) {
    const eet_status status = match(m, NULL);

    ck_assert_int_eq(status, expected);
    ck_assert_msg(strstr(m->err.text, says) != NULL, "said \"%s\", expected \"%s\"", m->err.text,
                  says);
    end(m);
}

const eet_place *place_named(const model *m, const char *name) {
    for (int32_t i = 0; i < m->plan.places; i++) {
        eet_place_name text;

        if (strcmp(eet_place_named(&text, &m->plan.place[i]), name) == 0) {
            return &m->plan.place[i];
        }
    }
    ck_abort_msg("there is no place %s", name);
    return NULL;
}

const char *tensor_of(const model *m, const char *place, int part) {
    return eet_source_at(m->source, place_named(m, place)->tensor[part])->name;
}
