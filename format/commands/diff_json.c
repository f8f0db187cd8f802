/* diff_json.c - the differences of two .eet files, as one JSON document. */
#include <stdio.h>
#include <string.h>

#include "format/commands/compare.h"
#include "format/commands/diff.h"
#include "format/commands/tensor_json.h"
#include "format/commands/values.h"

static eet_json *side_of(const eet_diff *diff, int side) {
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "path", diff->path[side]);
    eet_sha256_json(object, "content_sha256", eet_file_content_sha256(diff->file[side]));
    eet_sha256_json(object, "weights_sha256", eet_file_weights_sha256(diff->file[side]));
    return object;
}

/* What one side has, under "a" or "b"; null where it has nothing. */
static void set_side(eet_json *object, const eet_diff *diff, const eet_difference *d, int side) {
    const char *key = side == 0 ? "a" : "b";

    if (d->item[side] < 0) {
        eet_json_set_string(object, key, NULL);
    } else if (d->kind == EET_DIFF_TENSOR) {
        const eet_file_tensor tensor = eet_diff_tensor(diff, d, side);

        eet_json_set(object, key, eet_tensor_json(diff->file[side], &tensor));
    } else if (d->kind == EET_DIFF_ASSET) {
        const eet_file_asset asset = eet_diff_asset(diff, d, side);

        eet_json_set(object, key, eet_asset_json(&asset));
    } else if (d->kind == EET_DIFF_VOCABULARY) {
        eet_json_set_bool(object, key, true);
    } else {
        const eet_kv entry = eet_diff_entry(diff, d, side);

        eet_value_set(object, key, &entry);
    }
}

static eet_json *pair_of(uint64_t a, uint64_t b) {
    eet_json *pair = eet_json_array();

    eet_json_append_integer(pair, (int64_t)a);
    eet_json_append_integer(pair, (int64_t)b);
    return pair;
}

static void set_numbers(eet_json *object, const eet_diff *diff, const eet_difference *d) {
    eet_comparison c;

    if (!eet_diff_compare(diff, d, &c)) {
        eet_json_set_string(object, "stats", NULL);
        return;
    }
    eet_json *stats = eet_json_object();

    eet_json_set_integer(stats, "count", (int64_t)c.count);
    eet_json_set_integer(stats, "changed", (int64_t)c.changed);
    eet_json_set_real(stats, "max_difference", c.max_difference);
    eet_json_set_integer(stats, "max_at", (int64_t)c.max_at);
    eet_json_set_real(stats, "relative_l2", c.relative_l2);
    eet_json_set_real(stats, "cosine", c.cosine);
    eet_json_set(stats, "nan", pair_of(c.nans[0], c.nans[1]));
    eet_json_set(stats, "infinite", pair_of(c.infinities[0], c.infinities[1]));
    eet_json_set(object, "stats", stats);
}

static eet_json *what_of(const eet_difference *d) {
    static const char *const names[] = {"type", "shape", "value", "place", "flags", "alias"};
    eet_json *list = eet_json_array();

    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((d->what >> i & 1) != 0) {
            eet_json_append_string(list, names[i]);
        }
    }
    return list;
}

static eet_json *difference_of(const eet_diff *diff, const eet_difference *d) {
    char room[EET_DIFF_NAME_ROOM];
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "kind", eet_diff_kind_name((eet_diff_kind)d->kind));
    eet_json_set_string(object, "name", eet_diff_name(diff, d, room));
    eet_json_set_string(object, "change",
                        d->item[0] < 0   ? "added"
                        : d->item[1] < 0 ? "removed"
                                         : "changed");
    eet_json_set(object, "what", what_of(d));
    set_side(object, diff, d, 0);
    set_side(object, diff, d, 1);
    if (d->kind == EET_DIFF_TENSOR && diff->options->stats) {
        set_numbers(object, diff, d);
    }
    return object;
}

eet_json *eet_diff_document(const eet_diff *diff) {
    const eet_diff_options *o = diff->options;
    eet_json *root = eet_json_object();
    eet_json *counts = eet_json_object();
    eet_json *list = eet_json_array();

    for (int kind = 0; kind < EET_DIFF_KINDS; kind++) {
        eet_json_set_integer(counts, eet_diff_kind_name((eet_diff_kind)kind), diff->count_of[kind]);
    }
    for (uint32_t i = 0; i < diff->count; i++) {
        eet_json_append(list, difference_of(diff, &diff->items[i]));
    }
    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set_bool(root, "same", diff->count == 0);
    eet_json_set_string(root, "compared",
                        o->metadata_only ? "metadata"
                        : o->quick       ? "digests"
                                         : "bytes");
    eet_json_set(root, "a", side_of(diff, 0));
    eet_json_set(root, "b", side_of(diff, 1));
    eet_json_set(root, "counts", counts);
    eet_json_set(root, "differences", list);
    return root;
}
