/* run.h - the parts of eet-run: rows go in, continuations or scores come out. */
#ifndef EET_COMMANDS_RUN_H
#define EET_COMMANDS_RUN_H

#include "engine/commands/records.h"

enum { EET_RUN_MAX_STOPS = 64 };

typedef struct eet_run_options {
    eet_option_list ids, source_ids;
    const char *device, *dtype;
    int64_t max_new_tokens, min_new_tokens, batch, threads, max_tokens;
    int64_t top_k, seed, logprobs, beams, returned;
    double temperature, top_p, repetition_penalty, length_penalty;
    const char *stop, *early_stopping;
    bool stream, json, timings, ignore_eos, score;
} eet_run_options;

/* What a row has chosen so far. */
typedef struct eet_run_result {
    int32_t *ids;
    float *log_probs;
    int32_t *top_ids; /* (count, tops) */
    float *top_log_probs;
    int32_t count, room;
    int32_t finish;
} eet_run_result;

typedef struct eet_run {
    const eet_run_options *options;
    eet_session *session;
    eet_packed packed;
    eet_run_result *result; /* (packed.room) */
    eet_event *events;      /* (packed.room) */
    uint64_t *streams;      /* (packed.room) */
    eet_json **beams;       /* (packed.room) what a search found for each row */
    int32_t stop[EET_RUN_MAX_STOPS];
    int32_t stops, tops; /* likeliest ids beside each token */
    int64_t prompt_tokens, first_tokens, next_tokens;
    double prompt_seconds, next_seconds;
    bool cancelled;
    eet_error *err;
} eet_run;

/* run_options.c */
extern const eet_command eet_run_command;
/* E_ARGUMENT for options that do not go together; `given` are those on the command line
 * (eet_operands). Those that have no effect get a note on standard error. */
eet_status eet_run_check_options(const eet_run_options *options, uint64_t given, eet_error *err);

/* Fills the slots that the rows look at. */
eet_status eet_run_sources(eet_run *run);
double eet_run_now(void);
eet_status eet_run_no_memory(eet_run *run);

/* run_results.c */
eet_status eet_run_note(eet_run *run, const eet_generation *generation, const eet_event *event);
eet_status eet_run_stream(eet_run *run, const eet_event *event);
eet_status eet_run_print(eet_run *run);
void eet_run_forget(eet_run *run);
void eet_run_free_results(eet_run *run);
/* [[token, log-probability], ...] */
eet_json *eet_run_pairs(const int32_t *ids, const float *log_probs, int32_t count);

/* run_generate.c: continues the rows that are packed. */
eet_status eet_run_generate(eet_run *run);
/* Beams of each row, where they are asked for. */
int32_t eet_run_beams(const eet_run_options *options);

/* run_score.c: scores the rows that are packed, and prints what it finds. */
eet_status eet_run_score(eet_run *run);

#endif
