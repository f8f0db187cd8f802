/* record_rules.c - what a model takes of rows, and whether a row is so. */
#include <stdio.h>

#include "engine/commands/records.h"

/* ---- rules -------------------------------------------------------------- */

static int64_t fact_of(const eet_model *model, const char *stack, const char *name,
                       int64_t absent) {
    char key[64];
    eet_fact fact = {.size = sizeof fact};

    (void)snprintf(key, sizeof key, "%s.%s", stack, name);
    return eet_model_fact(model, key, &fact, NULL) == EET_OK ? fact.integer : absent;
}

eet_status eet_record_rules_of(const eet_model *model, bool encoding, bool sourced,
                               eet_record_rules *out, eet_error *err) {
    eet_model_info info = {.size = sizeof info};
    const eet_status status = eet_model_describe(model, &info, err);

    if (status != EET_OK) {
        return status;
    }
    const char *stack = info.has_encoder && (!sourced || !info.has_decoder) ? "enc" : "dec";
    const bool source = sourced && info.has_encoder && info.has_cross;
    const bool counted = fact_of(model, "enc", "pos.skip_pad", 0) == 0;

    *out = (eet_record_rules){
        .vocab_size = (int32_t)fact_of(model, stack, "vocab.size", info.vocab_size),
        .types = (int32_t)fact_of(model, stack, "types", 0),
        .positions = (int32_t)fact_of(model, stack, "pos.rows", 0),
        .skip_pad = fact_of(model, stack, "pos.skip_pad", 0) != 0,
        .pad = (int32_t)fact_of(model, stack, "tok.pad", -1),
        .place = encoding,
        .source = source,
        .source_vocab = (int32_t)fact_of(model, "enc", "vocab.size", 0),
        .source_positions = counted ? (int32_t)fact_of(model, "enc", "pos.rows", 0) : 0,
        .start = source ? (int32_t)fact_of(model, "dec", "start", -1) : -1,
    };
    return EET_OK;
}

/* ---- checks ------------------------------------------------------------- */

/* The ids for the encoder: there where the model wants them, and nowhere else. */
static eet_status check_sources(const eet_record_rules *rules, const eet_record *r,
                                const char *noun, eet_error *err) {
    const long long number = r->number;

    if (rules->source != (r->source_count > 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        rules->source ? "%s %lld: there are no source ids, and the model's decoder "
                                        "looks at an encoder"
                                      : "%s %lld: there are source ids, and no encoder reads them "
                                        "here",
                        noun, number);
    }
    for (int32_t i = 0; i < r->source_count; ++i) {
        if (r->source_ids[i] < 0 || r->source_ids[i] >= rules->source_vocab) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s %lld: source id %d is outside the vocabulary of %d", noun, number,
                            (int)r->source_ids[i], (int)rules->source_vocab);
        }
    }
    if (rules->source_positions > 0 && r->source_count > rules->source_positions) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "%s %lld: the source needs %d positions; the encoder has %d", noun, number,
                        (int)r->source_count, (int)rules->source_positions);
    }
    return EET_OK;
}

static eet_status check_tokens(const eet_record_rules *rules, const eet_record *r, const char *noun,
                               eet_error *err) {
    const long long number = r->number;

    if (r->count == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s %lld: the mask leaves no token", noun,
                        number);
    }
    for (int32_t i = 0; i < r->count; ++i) {
        if (r->ids[i] < 0 || r->ids[i] >= rules->vocab_size) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s %lld: token id %d is outside the vocabulary of %d", noun, number,
                            (int)r->ids[i], (int)rules->vocab_size);
        }
        if (r->types != NULL && (r->types[i] < 0 || r->types[i] >= rules->types)) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s %lld: token type %d is outside the model's %d", noun, number,
                            (int)r->types[i], (int)rules->types);
        }
    }
    const int32_t last = r->positions != NULL ? r->positions[r->count - 1] + 1 : r->count;

    if (rules->positions > 0 && !rules->skip_pad && last > rules->positions) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "%s %lld: the text needs %d positions; the model has %d", noun, number,
                        (int)last, (int)rules->positions);
    }
    return EET_OK;
}

eet_status eet_record_check(const eet_record_rules *rules, const eet_record *record, bool listed,
                            eet_error *err) {
    const eet_status status =
        check_sources(rules, record, listed ? "--source-ids number" : "line", err);

    return status == EET_OK ? check_tokens(rules, record, listed ? "--ids number" : "line", err)
                            : status;
}
