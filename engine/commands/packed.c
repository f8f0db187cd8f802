/* packed.c - rows put one behind the other, as a call wants them. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/records.h"

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a batch");
}

eet_status eet_packed_make(eet_packed *packed, int32_t room, eet_error *err) {
    *packed = (eet_packed){.room = room};
    packed->record = calloc((size_t)room, sizeof *packed->record);
    packed->start = calloc((size_t)room + 1, sizeof *packed->start);
    packed->source = calloc((size_t)room, sizeof *packed->source);
    packed->source_start = calloc((size_t)room + 1, sizeof *packed->source_start);
    for (int32_t i = 0; packed->source != NULL && i < room; ++i) {
        packed->source[i] = i;
    }
    return packed->record == NULL || packed->start == NULL || packed->source == NULL ||
                   packed->source_start == NULL
               ? no_memory(err)
               : EET_OK;
}

static void free_tokens(eet_packed *packed) {
    free(packed->tokens);
    free(packed->types);
    free(packed->positions);
    free(packed->source_tokens);
    packed->source_tokens = NULL;
    packed->tokens = NULL;
    packed->types = NULL;
    packed->positions = NULL;
}

static void clear(eet_packed *packed) {
    for (int32_t i = 0; i < packed->rows; ++i) {
        eet_record_free(&packed->record[i]);
    }
    packed->rows = 0;
    free_tokens(packed);
}

void eet_packed_free(eet_packed *packed) {
    clear(packed);
    free(packed->record);
    free(packed->start);
    free(packed->source);
    free(packed->source_start);
    *packed = (eet_packed){0};
}

int32_t eet_packed_tokens(const eet_packed *packed) {
    return packed->start[packed->rows];
}

static bool go_together(const eet_record *a, const eet_record *b) {
    return (a->types != NULL) == (b->types != NULL) &&
           (a->positions != NULL) == (b->positions != NULL);
}

static int32_t *join(const eet_packed *packed, size_t member) {
    int32_t *all = calloc((size_t)eet_packed_tokens(packed), sizeof *all);

    for (int32_t i = 0; all != NULL && i < packed->rows; ++i) {
        int32_t *part = NULL;

        memcpy(&part, (const char *)&packed->record[i] + member, sizeof part);
        memcpy(all + packed->start[i], part, (size_t)packed->record[i].count * sizeof *all);
    }
    return all;
}

/* The rows' sources; all rows have one, or none has. */
static eet_status pack_sources(eet_packed *packed, eet_error *err) {
    packed->sources = (eet_batch){.size = sizeof packed->sources};
    if (packed->record[0].source_ids == NULL) {
        return EET_OK;
    }
    for (int32_t i = 0; i < packed->rows; ++i) {
        if (packed->record[i].source_count > INT32_MAX - packed->source_start[i]) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "a batch has more than 2^31 tokens");
        }
        packed->source_start[i + 1] = packed->source_start[i] + packed->record[i].source_count;
    }
    packed->source_tokens =
        calloc((size_t)packed->source_start[packed->rows], sizeof *packed->source_tokens);
    if (packed->source_tokens == NULL) {
        return no_memory(err);
    }
    for (int32_t i = 0; i < packed->rows; ++i) {
        memcpy(packed->source_tokens + packed->source_start[i], packed->record[i].source_ids,
               (size_t)packed->record[i].source_count * sizeof *packed->source_tokens);
    }
    packed->sources.rows = packed->rows;
    packed->sources.start = packed->source_start;
    packed->sources.tokens = packed->source_tokens;
    packed->batch.source = packed->source;
    return EET_OK;
}

static eet_status pack(eet_packed *packed, eet_error *err) {
    const eet_record *first = &packed->record[0];

    for (int32_t i = 0; i < packed->rows; ++i) {
        if (packed->record[i].count > INT32_MAX - packed->start[i]) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "a batch has more than 2^31 tokens");
        }
        packed->start[i + 1] = packed->start[i] + packed->record[i].count;
    }
    packed->tokens = join(packed, offsetof(eet_record, ids));
    packed->types = first->types != NULL ? join(packed, offsetof(eet_record, types)) : NULL;
    packed->positions =
        first->positions != NULL ? join(packed, offsetof(eet_record, positions)) : NULL;
    if (packed->tokens == NULL || (first->types != NULL && packed->types == NULL) ||
        (first->positions != NULL && packed->positions == NULL)) {
        return no_memory(err);
    }
    packed->batch = (eet_batch){
        .size = sizeof packed->batch,
        .rows = packed->rows,
        .start = packed->start,
        .tokens = packed->tokens,
        .types = packed->types,
        .positions = packed->positions,
    };
    return pack_sources(packed, err);
}

eet_status eet_packed_read(eet_packed *packed, eet_records *records, eet_record *held,
                           eet_error *err) {
    bool more = held->ids != NULL;
    eet_status status = EET_OK;

    clear(packed);
    while (packed->rows < packed->room) {
        if (held->ids == NULL) {
            status = eet_records_next(records, held, &more, err);
        }
        if (status != EET_OK) {
            return status;
        }
        if (!more || (packed->rows > 0 && !go_together(&packed->record[0], held))) {
            break;
        }
        packed->record[packed->rows++] = *held;
        *held = (eet_record){0};
    }
    return packed->rows > 0 ? pack(packed, err) : EET_OK;
}
