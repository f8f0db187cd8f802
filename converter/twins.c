/* twins.c - tensors that a checkpoint holds twice: are they equal? */
#include <string.h>

#include "converter/emit.h"

/* One after the other, so that one of them is in memory at a time. */
static eet_status are_equal(eet_source *source, const eet_twin *twin, bool *equal, eet_error *err) {
    const eet_source_tensor *a = eet_source_at(source, twin->a);
    const eet_source_tensor *b = eet_source_at(source, twin->b);
    uint8_t digest[2][32];

    *equal = eet_source_same(a, b);
    if (*equal || a->rank != b->rank ||
        memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) != 0 ||
        a->dtype != b->dtype || a->elements != b->elements) {
        return EET_OK;
    }
    eet_status status = eet_source_sha256(source, a, digest[0], err);

    if (status == EET_OK) {
        status = eet_source_sha256(source, b, digest[1], err);
    }
    *equal = status == EET_OK && memcmp(digest[0], digest[1], sizeof digest[0]) == 0;
    return status;
}

static eet_status complain(const eet_source *source, const eet_twin *twin, eet_error *err) {
    const eet_source_tensor *a = eet_source_at(source, twin->a);
    const eet_source_tensor *b = eet_source_at(source, twin->b);
    eet_shown one;
    eet_shown other;
    const char *first = eet_show(&one, a->name, a->name_bytes);
    const char *second = eet_show(&other, b->name, b->name_bytes);

    if (twin->tied >= 0) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "\"%s\" differs from \"%s\", which the configuration ties it to; "
                        "\"tie_word_embeddings\": false in the configuration keeps both",
                        second, first);
    }
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                    "\"%s\" and \"%s\" are the same part of the model, and they differ", first,
                    second);
}

static void share_with(eet_plan *plan, const eet_twin *twin) {
    for (int32_t p = 0; p < twin->tied; p++) {
        const eet_place *of = &plan->place[p];

        if ((of->rule != NULL || of->share >= 0) && of->tensor[0] == twin->a) {
            plan->place[twin->tied].share = p;
            plan->place[twin->tied].rule = NULL;
        }
    }
}

/* Who shares with a place that shares with a third shares with the third. */
static void follow_shares(eet_plan *plan) {
    for (int32_t p = 0; p < plan->places; p++) {
        eet_place *place = &plan->place[p];

        if (place->share >= 0 && plan->place[place->share].share >= 0) {
            place->share = plan->place[place->share].share;
        }
    }
}

eet_status eet_settle_twins(eet_source *source, eet_plan *plan, eet_error *err) {
    for (int32_t i = 0; i < plan->twins; i++) {
        const eet_twin *twin = &plan->twin[i];
        bool equal = false;
        const eet_status status = are_equal(source, twin, &equal, err);

        if (status != EET_OK) {
            return status;
        }
        if (!equal && twin->must) {
            return complain(source, twin, err);
        }
        if (equal && twin->tied >= 0) {
            share_with(plan, twin);
        }
    }
    follow_shares(plan);
    return EET_OK;
}
