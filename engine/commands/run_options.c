/* run_options.c - the options of eet-run, and which of them go together. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "engine/commands/device.h"
#include "engine/commands/run.h"

#define AT(field) (uint32_t) offsetof(eet_run_options, field)

static const eet_option options[] = {
    EET_OPTION_IDS(AT(ids)),
    EET_OPTION_SOURCE_IDS(AT(source_ids)),
    {.name = "max-new-tokens",
     .letter = 'n',
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "tokens per row at most (64)",
     .low = 1,
     .high = INT32_MAX,
     .offset = AT(max_new_tokens)},
    {.name = "temperature",
     .kind = EET_OPTION_REAL,
     .value = "T",
     .help = "draw tokens; 0, the default, takes the likeliest",
     .low = 0,
     .high = 1000000,
     .offset = AT(temperature)},
    {.name = "top-k",
     .brief = true,
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "draw among the N likeliest tokens",
     .low = 1,
     .high = INT32_MAX,
     .offset = AT(top_k)},
    {.name = "top-p",
     .brief = true,
     .kind = EET_OPTION_REAL,
     .value = "P",
     .help = "draw among the likeliest tokens that have the probability P together",
     .low = 0,
     .high = 1,
     .offset = AT(top_p)},
    {.name = "seed",
     .brief = true,
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "of the draws (0); each row has random numbers of its own",
     .low = 0,
     .high = INT64_MAX,
     .offset = AT(seed)},
    {.name = "repetition-penalty",
     .brief = true,
     .kind = EET_OPTION_REAL,
     .value = "X",
     .help = "scores of tokens that the row has are divided by X, negative ones multiplied",
     .low = 0,
     .high = 1000000,
     .offset = AT(repetition_penalty)},
    {.name = "min-new-tokens",
     .brief = true,
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "no token that ends the row before these",
     .low = 0,
     .high = INT32_MAX,
     .offset = AT(min_new_tokens)},
    {.name = "stop",
     .brief = true,
     .kind = EET_OPTION_STRING,
     .value = "1,2",
     .help = "further ids that end a row",
     .offset = AT(stop)},
    {.name = "ignore-eos",
     .help = "the model's end token does not end a row",
     .offset = AT(ignore_eos)},
    {.name = "num-beams",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "search with N beams a row",
     .low = 1,
     .high = 1024,
     .offset = AT(beams)},
    {.name = "num-return",
     .brief = true,
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "beams to print of each row (1)",
     .low = 1,
     .high = 1024,
     .offset = AT(returned)},
    {.name = "length-penalty",
     .brief = true,
     .kind = EET_OPTION_REAL,
     .value = "X",
     .help = "a beam's score is its log-probability over its length to the X (1)",
     .low = -40,
     .high = 40,
     .offset = AT(length_penalty)},
    {.name = "early-stopping",
     .brief = true,
     .kind = EET_OPTION_CHOICE,
     .value = "HOW",
     .choices = "heuristic|first|never",
     .help = "when a row's search ends",
     .offset = AT(early_stopping)},
    {.name = "score", .help = "tell how likely the rows are instead", .offset = AT(score)},
    {.name = "logprobs",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "with --json, the N likeliest tokens beside each",
     .low = 0,
     .high = 256,
     .offset = AT(logprobs)},
    {.name = "stream", .help = "print ids as they come", .offset = AT(stream)},
    {.name = "json",
     .help = "JSON Lines: a result a row, with --stream a token",
     .offset = AT(json)},
    EET_OPTION_BATCH("rows that run together (8)", AT(batch)),
    {.name = "max-tokens",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "longest text, prompt included (what the model can)",
     .low = 1,
     .high = 1 << 24,
     .offset = AT(max_tokens)},
    EET_OPTION_THREADS(AT(threads)),
    EET_OPTION_DEVICE(AT(device)),
    EET_OPTION_DTYPE(AT(dtype)),
    EET_OPTION_TIMINGS(AT(timings)),
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-run gpt2.eet --ids 464,3290 --stream          # one row, ids as they come",
    "eet-run nmt.eet --source-ids 8,25,2 --num-beams 5 # a translation",
    "eet-run gpt2.eet --json < rows.jsonl              # {\"id\": 7, \"ids\": [464]}",
};

const eet_command eet_run_command = {
    .name = "eet-run",
    .usage = "[OPTIONS] MODEL.eet [< ROWS.jsonl]",
    .summary = "Continues rows of token ids, or scores them.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = 1,
    .suffix = ".eet",
};

/* ---- what goes together ---------------------------------------------------- */

static bool goes_with_score(const char *name) {
    static const char *const names[] = {"ids",   "source-ids", "score",   "logprobs", "json",
                                        "batch", "max-tokens", "threads", "timings"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* All others are about tokens that rows go on with. */
static eet_status check_score(uint64_t given, eet_error *err) {
    for (int i = 0; options[i].name != NULL; ++i) {
        if ((given >> i & 1) != 0 && !goes_with_score(options[i].name)) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "--%s has no effect with --score, which continues no row",
                            options[i].name);
        }
    }
    return EET_OK;
}

/* Options that say different things. */
static eet_status check_options(const eet_run_options *o, eet_error *err) {
    const char *wrong = NULL;

    if (o->logprobs > 0 && !o->json) {
        wrong = "--logprobs goes with --json";
    } else if (o->logprobs > 0 && o->beams > 1) {
        wrong = "--logprobs does not go with --num-beams; --num-return tells the best beams";
    } else if (o->returned > (o->beams > 0 ? o->beams : 1)) {
        wrong = "--num-return is more than --num-beams";
    } else if (o->top_p == 0) {
        wrong = "--top-p 0 leaves no token; the likeliest is taken without --temperature";
    } else if (o->repetition_penalty == 0) {
        wrong = "--repetition-penalty is above 0; 1 changes nothing";
    }
    return wrong != NULL ? eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s", wrong)
                         : eet_records_check_options(&o->ids, &o->source_ids, err);
}

static void note_what_has_no_effect(const eet_run_options *o) {
    if ((o->top_k != 0 || o->top_p != 1) && o->temperature == 0 && o->beams < 2) {
        (void)fputs("eet-run: note: without --temperature nothing is drawn: --top-k and --top-p "
                    "have no effect\n",
                    stderr);
    }
}

eet_status eet_run_check_options(const eet_run_options *o, uint64_t given, eet_error *err) {
    eet_status status = o->score ? check_score(given, err) : EET_OK;

    if (status == EET_OK) {
        status = check_options(o, err);
    }
    if (status == EET_OK) {
        note_what_has_no_effect(o);
    }
    return status;
}
