/* bench.h - the parts of eet-bench: models, tests, what they cost, what they took.
 *
 * A test is one combination of the axes: so many tokens in so many rows, on so many
 * threads, behind so much context. Every model runs every test. */
#ifndef EET_COMMANDS_BENCH_H
#define EET_COMMANDS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/commands/probe.h"
#include "format/cli/json.h"
#include "kernels/backend.h"

/* ---- models (bench_random.c, bench_model.c) ------------------------------ */

/* What a random model is to be like. */
typedef struct eet_bench_shape {
    const char *name; /* of those that have one */
    int32_t layers, hidden, heads, vocab, ffn, positions, dtype;
    bool encoder;
} eet_bench_shape;

/* "gpt2-xl", or "layers=24,hidden=1024,heads=16,vocab=50257[,ffn=][,positions=][,dtype=]
 * [,kind=encoder]". dtype is 0 when the text has none. */
eet_status eet_bench_parse_shape(const char *text, eet_bench_shape *out, eet_error *err);

/* A .eet file that is in memory alone, its weights random and scaled as in a model that
 * training begins with. Freed with eet_bench_image_free. */
typedef struct eet_bench_image {
    void *bytes; /* (size), page-aligned */
    uint64_t size;
} eet_bench_image;

eet_status eet_bench_image_make(const eet_bench_shape *shape, eet_bench_image *out, eet_error *err);
void eet_bench_image_free(eet_bench_image *image);

typedef struct eet_bench_model {
    const char *name;      /* as it was asked for; borrowed */
    eet_bench_image image; /* of a random model */
    eet_model *model;
    int32_t device, device_index; /* where it runs */
    int32_t wanted;               /* a dtype to compute in; 0 = each matrix's own */
    bool encoder;
    int32_t head;                                    /* that scores tokens, else EET_HIDDEN */
    int32_t width;                                   /* of its values */
    int32_t vocab, hidden, layers, inner, positions; /* positions 0: no bound */
    int32_t dtype; /* of the matrices, as they are computed with */
    /* Of every stored number that a pass reads once, and of the matrices that every token,
     * and every scored position, is multiplied with. */
    double weight_bytes, row_bytes; /* row: of the tables of embeddings, a token */
    double token_flops, score_flops;
    double parameters;
} eet_bench_model;

/* Looks at an open model; it has one stack. */
eet_status eet_bench_look(eet_bench_model *model, eet_error *err);
void eet_bench_model_close(eet_bench_model *model);

/* ---- tests (bench_test.c) ------------------------------------------------ */

typedef enum eet_bench_kind {
    EET_BENCH_PREFILL, /* a prompt; its last position is scored */
    EET_BENCH_DECODE,  /* token after token, each scored */
    EET_BENCH_ENCODE   /* texts to hidden states */
} eet_bench_kind;

typedef struct eet_bench_test {
    int32_t kind; /* eet_bench_kind */
    int32_t tokens, batch, threads, depth;
    int32_t repetitions;
} eet_bench_test;

typedef struct eet_bench_spread {
    double mean, deviation, median;
} eet_bench_spread;

/* Of one test: a call is the whole prompt (prefill, encode) or one token of every row
 * (decode). */
typedef struct eet_bench_result {
    int32_t threads;         /* that ran */
    eet_bench_spread ms;     /* a call; mean and deviation over repetitions, median over calls */
    eet_bench_spread tokens; /* a second, of all rows; over repetitions */
    double bytes, flops;     /* a call: compulsory */
    double read_rate, peak;  /* a second: medians of what the machine did meanwhile; peak 0: none */
    int32_t dtype;           /* that the peak is of; 0 on the CPU, where it is f32's */
    char isa[16];            /* of a device its name, "cuda:0" */
    eet_memory_use memory;   /* behind the last call */
} eet_bench_result;

/* ---- bounds (bench_meter.c) ---------------------------------------------- */

typedef struct eet_bench_meter {
    const eet_backend_api *api;
    eet_backend *backend;
    eet_probe *probe; /* of a CPU; borrowed */
    int32_t dtype;
} eet_bench_meter;

/* With as many threads as the test has. Closed whether it opened or not. */
eet_status eet_bench_meter_open(const eet_bench_model *model, int32_t threads, eet_probe *probe,
                                eet_bench_meter *out, eet_error *err);
void eet_bench_meter_close(eet_bench_meter *meter);
/* Fills in who it is that is measured. */
void eet_bench_meter_name(const eet_bench_meter *meter, const eet_bench_model *model,
                          eet_bench_result *out);
/* Bytes, and multiplications and additions, a second, now. */
double eet_bench_meter_read(const eet_bench_meter *meter);
double eet_bench_meter_peak(const eet_bench_meter *meter);

/* "prefill", "decode", "encode". */
const char *eet_bench_kind_name(int32_t kind);

/* Bytes and flops of one call that appends `tokens` to `batch` rows of `context` tokens. */
void eet_bench_cost(const eet_bench_model *model, int32_t kind, int32_t batch, int32_t context,
                    int32_t tokens, double *bytes, double *flops);

eet_status eet_bench_run(const eet_bench_model *model, const eet_bench_test *test,
                         const eet_bench_meter *meter, eet_bench_result *out, eet_error *err);

/* Ids that are the same in every run: any number for any place. */
int32_t eet_bench_token(const eet_bench_model *model, int64_t index);

/* ---- agreement (bench_check.c) ------------------------------------------- */

typedef struct eet_bench_agreement {
    double relative_l2, bound; /* the worst row's; what is allowed */
    int32_t rows, differing;   /* compared; with another likeliest token */
    bool good;
} eet_bench_agreement;

/* Runs a few short texts on the fast path and on the plain-C reference (EET_BACKEND=ref) of
 * `reference`, the same model on the CPU. */
eet_status eet_bench_compare(const eet_bench_model *model, eet_model *reference,
                             eet_bench_agreement *out, eet_error *err);

/* ---- printing (bench_print.c) -------------------------------------------- */

enum { EET_BENCH_KEPT = 16 };

/* What was printed and what is to come at the end. */
typedef struct eet_bench_printer {
    const char *format; /* "md", "csv", "json", "jsonl" */
    int32_t rows, name_width;
    eet_json *results, *checks;
    /* md: the machine by number of threads, and the checks, come below the table */
    eet_bench_result machine[EET_BENCH_KEPT];
    int32_t machines;
    char *notes; /* lines */
} eet_bench_printer;

/* A model of this name is to come. */
void eet_bench_print_expect(eet_bench_printer *printer, const char *name);
eet_status eet_bench_print_result(eet_bench_printer *printer, const eet_bench_model *model,
                                  const eet_bench_test *test, const eet_bench_result *result,
                                  eet_error *err);
eet_status eet_bench_print_agreement(eet_bench_printer *printer, const eet_bench_model *model,
                                     const eet_bench_agreement *agreement, eet_error *err);
eet_status eet_bench_print_end(eet_bench_printer *printer, eet_error *err);
/* Frees what the end did not print. */
void eet_bench_print_forget(eet_bench_printer *printer);

#endif
