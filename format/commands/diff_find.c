/* diff_find.c - where two .eet files differ: walks the sorted lists of both side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/commands/diff.h"
#include "format/verify.h"
#include "format/verify_parts.h"

/* ---- lists -------------------------------------------------------------- */

static int32_t count_entries(const eet_kv_view *view) {
    return view == NULL ? 0 : (int32_t)view->count;
}

static const char *name_entry(const eet_kv_view *view, int32_t index, char *room) {
    const eet_kv entry = eet_kv_at(view, (uint32_t)index);

    memcpy(room, entry.key, entry.key_bytes);
    room[entry.key_bytes] = '\0';
    return room;
}

static uint32_t differ_entries(const eet_kv *a, const eet_kv *b) {
    uint32_t what = a->flags != b->flags ? EET_DIFF_FLAGS : 0;

    what |= a->type != b->type ? EET_DIFF_TYPE : 0;
    if (a->value_bytes != b->value_bytes ||
        (a->value_bytes > 0 && memcmp(a->value, b->value, a->value_bytes) != 0)) {
        what |= EET_DIFF_VALUE;
    }
    return what;
}

static const eet_kv_view *view_of(const eet_file *file, eet_diff_kind kind) {
    return kind == EET_DIFF_FACT ? eet_file_meta(file) : eet_file_provenance(file);
}

/* The vocabularies of a file are nameless; their number is their name. */
static const eet_disk_section *vocabulary_at(const eet_file *file, int32_t index) {
    for (uint32_t i = 0; i < file->header.section_count; i++) {
        if (file->sections[i].type == EET_SECTION_VOCB && index-- == 0) {
            return &file->sections[i];
        }
    }
    return NULL;
}

static int32_t count_vocabularies(const eet_file *file) {
    int32_t count = 0;

    while (vocabulary_at(file, count) != NULL) {
        count++;
    }
    return count;
}

static int32_t count_items(const eet_file *file, eet_diff_kind kind) {
    switch (kind) {
    case EET_DIFF_TENSOR:
        return eet_file_tensors(file);
    case EET_DIFF_VOCABULARY:
        return count_vocabularies(file);
    case EET_DIFF_ASSET:
        return eet_file_assets(file);
    default:
        return count_entries(view_of(file, kind));
    }
}

static const char *name_item(const eet_file *file, eet_diff_kind kind, int32_t index, char *room) {
    switch (kind) {
    case EET_DIFF_TENSOR:
        return eet_file_tensor_at(file, index).name;
    case EET_DIFF_VOCABULARY:
        (void)snprintf(room, EET_DIFF_NAME_ROOM, "%02d", (int)index); /* at most 60 sections */
        return room;
    case EET_DIFF_ASSET:
        return eet_file_asset_at(file, index).name;
    default:
        return name_entry(view_of(file, kind), index, room);
    }
}

/* ---- tensors ------------------------------------------------------------ */

static const char *alias_name(const eet_file *file, const eet_file_tensor *t) {
    return t->alias_of < 0 ? "" : eet_file_tensor_at(file, t->alias_of).name;
}

/* What differs, or what one file alone has, is not to be a file's damage. */
static eet_status check_sums(eet_diff *diff, const int32_t item[2], eet_error *err) {
    eet_status status = EET_OK;

    for (int side = 0; side < 2 && status == EET_OK; side++) {
        if (item[side] >= 0) {
            const eet_file_tensor t = eet_file_tensor_at(diff->file[side], item[side]);

            status = eet_file_check_sum(diff->file[side], item[side], err);
            eet_file_forget(diff->file[side], &t);
            diff->blamed = status == EET_OK ? NULL : diff->path[side];
        }
    }
    return status;
}

/* Bytes against bytes. Digests that say otherwise are those of a damaged file. */
static eet_status compare_bytes(eet_diff *diff, const eet_file_tensor *a, const eet_file_tensor *b,
                                bool *same, eet_error *err) {
    const bool claimed = memcmp(a->sha256, b->sha256, 32) == 0;
    const int32_t index[2] = {a->index, b->index};

    *same = memcmp(a->data, b->data, (size_t)a->bytes) == 0;
    if (*same == claimed) {
        return *same ? EET_OK : check_sums(diff, index, err);
    }
    for (int side = 0; side < 2; side++) {
        const eet_status status = eet_file_check_tensor(diff->file[side], index[side], err);

        if (status != EET_OK) {
            diff->blamed = diff->path[side];
            return status;
        }
    }
    return EET_OK;
}

/* Reads what is to be read of two tensors, once. */
static eet_status compare_numbers(eet_diff *diff, const eet_file_tensor *a,
                                  const eet_file_tensor *b, uint32_t *what, eet_error *err) {
    const bool alike = (*what & (EET_DIFF_TYPE | EET_DIFF_SHAPE)) == 0;
    const int32_t index[2] = {a->index, b->index};
    bool same = true;
    eet_status status = EET_OK;

    if (diff->options->quick) {
        same = !alike || memcmp(a->sha256, b->sha256, 32) == 0;
    } else if (alike) {
        status = compare_bytes(diff, a, b, &same, err);
    } else {
        status = check_sums(diff, index, err);
    }
    *what |= same ? 0 : EET_DIFF_VALUE;
    eet_file_forget(diff->file[0], a);
    eet_file_forget(diff->file[1], b);
    return status;
}

static eet_status compare_tensors(eet_diff *diff, const int32_t item[2], uint32_t *what,
                                  eet_error *err) {
    const eet_file_tensor a = eet_file_tensor_at(diff->file[0], item[0]);
    const eet_file_tensor b = eet_file_tensor_at(diff->file[1], item[1]);
    const bool twins = strcmp(alias_name(diff->file[0], &a), alias_name(diff->file[1], &b)) == 0;

    *what |= a.dtype != b.dtype || a.layout != b.layout ? EET_DIFF_TYPE : 0;
    *what |= a.rank != b.rank || memcmp(a.dims, b.dims, sizeof a.dims) != 0 ? EET_DIFF_SHAPE : 0;
    *what |= a.role != b.role || a.layer != b.layer ? EET_DIFF_PLACE : 0;
    *what |= ((a.flags ^ b.flags) & ~(uint32_t)EET_TENSOR_ALIAS) != 0 ? EET_DIFF_FLAGS : 0;
    *what |= twins ? 0 : EET_DIFF_ALIAS;
    if (twins && a.alias_of >= 0) { /* the tensor that both share tells the rest */
        *what &= ~(uint32_t)(EET_DIFF_TYPE | EET_DIFF_SHAPE);
        return EET_OK;
    }
    return diff->options->metadata_only ? EET_OK : compare_numbers(diff, &a, &b, what, err);
}

/* ---- assets ------------------------------------------------------------- */

static eet_status compare_assets(const eet_diff *diff, const int32_t item[2], uint32_t *what) {
    const eet_file_asset a = eet_file_asset_at(diff->file[0], item[0]);
    const eet_file_asset b = eet_file_asset_at(diff->file[1], item[1]);

    *what |= a.functional != b.functional ? EET_DIFF_TYPE : 0;
    *what |= a.bytes != b.bytes || memcmp(a.sha256, b.sha256, 32) != 0 ? EET_DIFF_VALUE : 0;
    return EET_OK;
}

static eet_status compare_vocabularies(eet_diff *diff, const int32_t item[2], uint32_t *what,
                                       eet_error *err) {
    uint8_t digest[2][32];

    for (int side = 0; side < 2; side++) {
        const eet_disk_section *s = vocabulary_at(diff->file[side], item[side]);
        const eet_status status = eet_file_section_sha256(diff->file[side], s, digest[side], err);

        if (status != EET_OK) {
            diff->blamed = diff->path[side];
            return status;
        }
    }
    *what |= memcmp(digest[0], digest[1], 32) != 0 ? EET_DIFF_VALUE : 0;
    return EET_OK;
}

/* ---- the walk ----------------------------------------------------------- */

static eet_status compare_items(eet_diff *diff, eet_difference *d, eet_error *err) {
    switch (d->kind) {
    case EET_DIFF_TENSOR:
        return compare_tensors(diff, d->item, &d->what, err);
    case EET_DIFF_VOCABULARY:
        return compare_vocabularies(diff, d->item, &d->what, err);
    case EET_DIFF_ASSET:
        return compare_assets(diff, d->item, &d->what);
    default:
        break;
    }
    const eet_kv a = eet_diff_entry(diff, d, 0);
    const eet_kv b = eet_diff_entry(diff, d, 1);

    d->what = differ_entries(&a, &b);
    return EET_OK;
}

/* Informative assets are no content: they count where provenance does. */
static bool is_asked_for(const eet_diff *diff, const eet_difference *d) {
    bool functional = false;

    if (d->kind != EET_DIFF_ASSET || diff->options->provenance) {
        return true;
    }
    for (int side = 0; side < 2; side++) {
        functional |= d->item[side] >= 0 && eet_diff_asset(diff, d, side).functional;
    }
    return functional;
}

static eet_status note(eet_diff *diff, const eet_difference *d, eet_error *err) {
    if (diff->count == diff->room) {
        const uint32_t room = diff->room == 0 ? 64 : 2 * diff->room;
        eet_difference *grown = realloc(diff->items, room * sizeof *grown);

        if (grown == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the differences");
        }
        diff->items = grown;
        diff->room = room;
    }
    diff->items[diff->count++] = *d;
    diff->count_of[d->kind]++;
    return EET_OK;
}

static bool reads_tensors(const eet_diff_options *o) {
    return !o->quick && !o->metadata_only;
}

static eet_status walk(eet_diff *diff, eet_diff_kind kind, eet_error *err) {
    const int32_t count[2] = {count_items(diff->file[0], kind), count_items(diff->file[1], kind)};
    int32_t at[2] = {0, 0};
    eet_status status = EET_OK;

    while (status == EET_OK && (at[0] < count[0] || at[1] < count[1])) {
        char room[2][EET_DIFF_NAME_ROOM];
        int order = at[0] == count[0] ? 1 : -1;
        eet_difference d = {.kind = (uint8_t)kind};

        if (at[0] < count[0] && at[1] < count[1]) {
            order = strcmp(name_item(diff->file[0], kind, at[0], room[0]),
                           name_item(diff->file[1], kind, at[1], room[1]));
        }
        d.item[0] = order <= 0 ? at[0]++ : -1;
        d.item[1] = order >= 0 ? at[1]++ : -1;
        if (order == 0) {
            status = compare_items(diff, &d, err);
        } else if (kind == EET_DIFF_TENSOR && reads_tensors(diff->options)) {
            status = check_sums(diff, d.item, err);
        }
        if (status == EET_OK && (order != 0 || d.what != 0) && is_asked_for(diff, &d)) {
            status = note(diff, &d, err);
        }
    }
    return status;
}

/* ---- opening ------------------------------------------------------------ */

/* What is compared by its digest is what its digest says. */
static eet_status check_digests(eet_file *file, const eet_diff_options *o, eet_error *err) {
    eet_status status = eet_file_unpack_assets(file, err);

    if (status == EET_OK && o->provenance) {
        status = eet_file_unpack_provenance(file, err);
    }
    for (int32_t i = 0; status == EET_OK && !o->quick && i < eet_file_assets(file); i++) {
        status = eet_file_check_asset(file, i, err);
    }
    return status == EET_OK ? eet_file_check_digests(file, err) : status;
}

static eet_status open_both(eet_diff *diff, eet_error *err) {
    const eet_diff_options *o = diff->options;
    eet_status status = EET_OK;

    for (int side = 0; side < 2 && status == EET_OK; side++) {
        diff->blamed = diff->path[side];
        status = eet_file_open(diff->path[side], 0, EET_LOAD_MAP, &diff->file[side], err);
        if (status == EET_OK) {
            status = check_digests(diff->file[side], o, err);
        }
    }
    if (status == EET_OK) {
        diff->blamed = NULL;
    }
    return status;
}

eet_status eet_diff_find(eet_diff *diff, eet_error *err) {
    const int kinds = diff->options->provenance ? EET_DIFF_KINDS : EET_DIFF_PROVENANCE;
    eet_status status = open_both(diff, err);

    for (int kind = 0; kind < kinds && status == EET_OK; kind++) {
        status = walk(diff, (eet_diff_kind)kind, err);
    }
    return status;
}

void eet_diff_free(eet_diff *diff) {
    eet_file_close(diff->file[0]);
    eet_file_close(diff->file[1]);
    free(diff->items);
}

/* ---- questions ---------------------------------------------------------- */

const char *eet_diff_kind_name(eet_diff_kind kind) {
    static const char *const names[] = {"fact", "tensor", "vocabulary", "asset", "provenance"};

    return names[kind];
}

static int a_side(const eet_difference *d) {
    return d->item[0] >= 0 ? 0 : 1;
}

const char *eet_diff_name(const eet_diff *diff, const eet_difference *d,
                          char room[EET_DIFF_NAME_ROOM]) {
    const int side = a_side(d);

    return name_item(diff->file[side], (eet_diff_kind)d->kind, d->item[side], room);
}

eet_kv eet_diff_entry(const eet_diff *diff, const eet_difference *d, int side) {
    return eet_kv_at(view_of(diff->file[side], (eet_diff_kind)d->kind), (uint32_t)d->item[side]);
}

eet_file_tensor eet_diff_tensor(const eet_diff *diff, const eet_difference *d, int side) {
    return eet_file_tensor_at(diff->file[side], d->item[side]);
}

eet_file_asset eet_diff_asset(const eet_diff *diff, const eet_difference *d, int side) {
    return eet_file_asset_at(diff->file[side], d->item[side]);
}

bool eet_diff_compare(const eet_diff *diff, const eet_difference *d, eet_comparison *out) {
    if (d->item[0] < 0 || d->item[1] < 0 || (d->what & (EET_DIFF_TYPE | EET_DIFF_VALUE)) == 0) {
        return false;
    }
    const eet_file_tensor a = eet_diff_tensor(diff, d, 0);
    const eet_file_tensor b = eet_diff_tensor(diff, d, 1);

    if (!eet_comparable(&a, &b)) {
        return false;
    }
    *out = eet_compare(&a, &b);
    eet_file_forget(diff->file[0], &a);
    eet_file_forget(diff->file[1], &b);
    return true;
}
