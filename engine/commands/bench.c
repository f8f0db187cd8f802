/* bench.c - eet-bench: how fast a model runs here, and how fast it could. */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/bench.h"
#include "engine/commands/device.h"

enum { MAX_ITEMS = 64, PROMPT = 512, TEXT = 128, NEW = 128, REPETITIONS = 5, MAX_TOKENS = 1 << 24 };

typedef struct bench_options {
    const char *prompt, *new_tokens, *batch, *threads, *depth, *dtype, *format, *device;
    eet_option_list random;
    int64_t repetitions;
    bool check;
} bench_options;

#define AT(field) (uint32_t) offsetof(bench_options, field)

static const eet_option options[] = {
    {.name = "prompt",
     .letter = 'p',
     .kind = EET_OPTION_STRING,
     .value = "N,...",
     .help = "lengths of prompts or texts (512; encoders 128); 0: none",
     .offset = AT(prompt)},
    {.name = "new",
     .letter = 'n',
     .kind = EET_OPTION_STRING,
     .value = "N,...",
     .help = "tokens to decode one by one (128); 0: none",
     .offset = AT(new_tokens)},
    {.name = "batch",
     .letter = 'b',
     .kind = EET_OPTION_STRING,
     .value = "N,...",
     .help = "rows that run together (1)",
     .offset = AT(batch)},
    {.name = "threads",
     .letter = 't',
     .kind = EET_OPTION_STRING,
     .value = "N,...",
     .help = "threads (one per CPU)",
     .offset = AT(threads)},
    {.name = "depth",
     .letter = 'd',
     .kind = EET_OPTION_STRING,
     .value = "N,...",
     .help = "tokens that each row holds before (0)",
     .offset = AT(depth)},
    {.name = "dtype",
     .kind = EET_OPTION_STRING,
     .value = "T,...",
     .help = "f32, f16, bf16: of random weights (f32), or to compute in",
     .offset = AT(dtype)},
    EET_OPTION_DEVICE(AT(device)),
    {.name = "repetitions",
     .letter = 'r',
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "of each test, after one to warm up (5)",
     .low = 1,
     .high = 10000,
     .offset = AT(repetitions)},
    {.name = "random",
     .kind = EET_OPTION_LIST,
     .value = "SHAPE",
     .help = "gpt2[-medium|-large|-xl], bert-base|-large, layers=..,...",
     .offset = AT(random)},
    {.name = "check",
     .help = "compare with the plain-C reference first; 1 if it differs",
     .offset = AT(check)},
    {.name = "format",
     .kind = EET_OPTION_CHOICE,
     .value = "FORMAT",
     .choices = "md|csv|json|jsonl",
     .help = "Markdown table (default), CSV, JSON, JSON Lines",
     .offset = AT(format)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-bench gpt2.eet -p 128,512 -n 128 -t 1,2     # 6 tests",
    "eet-bench --random gpt2-xl --dtype bf16 -b 1,8  # no file needed",
    "eet-bench bert.eet --check -p 384 --format csv  # right, and how fast",
};

static const eet_command command = {
    .name = "eet-bench",
    .usage = "[OPTIONS] MODEL.eet... | --random SHAPE",
    .summary = "Measures speed, as such and against what this machine could do.",
    .options = options,
    .examples = examples,
    .min_operands = 0,
    .max_operands = -1,
    .suffix = ".eet",
};

/* ---- axes ---------------------------------------------------------------- */

typedef struct axis {
    int32_t item[MAX_ITEMS];
    int32_t count;
} axis;

typedef struct axes {
    axis prompt, new_tokens, batch, threads, depth, dtype;
} axes;

/* The next of "1,2,3": its length. */
static size_t item_length(const char *text) {
    return strcspn(text, ",");
}

static eet_status bad_item(const char *name, const char *text, const char *wanted, eet_error *err) {
    eet_shown shown;

    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--%s: \"%s\" is no %s", name,
                    eet_show(&shown, text, item_length(text)), wanted);
}

static eet_status parse_number(const char *name, const char *text, int32_t low, int32_t *out,
                               eet_error *err) {
    const size_t length = item_length(text);
    char *end = NULL;
    const long number = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || end != text + length || number < low ||
        number > MAX_TOKENS) {
        return bad_item(name, text, low > 0 ? "number from 1 to 16777216" : "number to 16777216",
                        err);
    }
    *out = (int32_t)number;
    return EET_OK;
}

static eet_status parse_dtype(const char *name, const char *text, int32_t *out, eet_error *err) {
    *out = eet_dtype_parse(text, item_length(text));
    return *out != 0 ? EET_OK : bad_item(name, text, "dtype to compute in: f32, f16 or bf16", err);
}

/* "1,2,3", or `missing` (negative: nothing) where the option is not given. */
static eet_status parse_axis(const char *name, const char *text, int32_t low, int32_t missing,
                             axis *out, eet_error *err) {
    eet_status status = EET_OK;

    if (text == NULL) {
        out->item[0] = missing;
        out->count = missing >= 0 ? 1 : 0;
        return EET_OK;
    }
    for (bool more = true; more && status == EET_OK;) {
        if (out->count == MAX_ITEMS) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--%s has more than %d values", name,
                            MAX_ITEMS);
        }
        status = low < 0 ? parse_dtype(name, text, &out->item[out->count], err)
                         : parse_number(name, text, low, &out->item[out->count], err);
        out->count += 1;
        more = text[item_length(text)] == ',';
        text += item_length(text) + (more ? 1 : 0);
    }
    return status;
}

static eet_status parse_axes(const bench_options *o, axes *out, eet_error *err) {
    const struct {
        const char *name, *text;
        int32_t low, missing; /* low -1: dtypes */
        axis *out;
    } wanted[] = {
        {"prompt", o->prompt, 0, -1, &out->prompt}, {"new", o->new_tokens, 0, -1, &out->new_tokens},
        {"batch", o->batch, 1, 1, &out->batch},     {"threads", o->threads, 1, 0, &out->threads},
        {"depth", o->depth, 0, 0, &out->depth},     {"dtype", o->dtype, -1, 0, &out->dtype},
    };
    eet_status status = EET_OK;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && status == EET_OK; ++i) {
        status = parse_axis(wanted[i].name, wanted[i].text, wanted[i].low, wanted[i].missing,
                            wanted[i].out, err);
    }
    return status;
}

/* ---- tests --------------------------------------------------------------- */

typedef struct bench {
    const bench_options *options;
    axes axes;
    eet_bench_model model;
    eet_bench_printer printer;
    eet_probe *probe;
    bool failed; /* a check */
    eet_error *err;
} bench;

static eet_status measure(bench *b, const eet_bench_test *test, eet_bench_result *out) {
    eet_bench_meter meter;
    eet_status status = eet_bench_meter_open(&b->model, test->threads, b->probe, &meter, b->err);

    if (status == EET_OK) {
        eet_bench_meter_name(&meter, &b->model, out);
        status = eet_bench_run(&b->model, test, &meter, out, b->err);
    }
    eet_bench_meter_close(&meter);
    return status;
}

static eet_status run_test(bench *b, const eet_bench_test *test) {
    const bool host = b->model.device == EET_HOST;
    eet_bench_result result = {.dtype = host ? 0 : b->model.dtype};
    eet_status status = EET_OK;

    if (b->probe == NULL && host) { /* not before there is something to measure */
        b->probe = eet_probe_create();
        status = b->probe != NULL
                     ? EET_OK
                     : eet_fail(b->err, EET_E_MEMORY, EET_NOWHERE, "no memory to read from");
    }
    if (status == EET_OK) {
        status = measure(b, test, &result);
    }
    return status == EET_OK ? eet_bench_print_result(&b->printer, &b->model, test, &result, b->err)
                            : status;
}

/* A depth and a number of tokens that this model has no positions for. */
static eet_status check_length(const bench *b, const eet_bench_test *test) {
    const int32_t positions = b->model.positions;

    if (positions > 0 && (int64_t)test->depth + test->tokens > positions) {
        return eet_fail(b->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s has %d positions, and %d tokens behind %d are too many", b->model.name,
                        (int)positions, (int)test->tokens, (int)test->depth);
    }
    return EET_OK;
}

/* All combinations with one number of tokens; `run` them, or only see that they can run. */
static eet_status run_tokens(bench *b, int32_t kind, int32_t tokens, bool run) {
    const axes *a = &b->axes;
    const int32_t count = a->threads.count * a->batch.count * a->depth.count;
    eet_status status = EET_OK;

    for (int32_t i = 0; i < count && tokens > 0 && status == EET_OK; ++i) {
        const eet_bench_test test = {
            .kind = kind,
            .tokens = tokens,
            .threads = a->threads.item[i / (a->batch.count * a->depth.count)],
            .batch = a->batch.item[i / a->depth.count % a->batch.count],
            .depth = a->depth.item[i % a->depth.count],
            .repetitions =
                b->options->repetitions > 0 ? (int32_t)b->options->repetitions : REPETITIONS,
        };

        status = run ? run_test(b, &test) : check_length(b, &test);
    }
    return status;
}

/* What a test has where nothing was asked for: as much as the model and the depth allow. */
static axis axis_or(const bench *b, const axis *given, int32_t wanted) {
    axis one = {.item = {wanted}, .count = 1};

    for (int32_t i = 0; i < b->axes.depth.count && b->model.positions > 0; ++i) {
        const int32_t room = b->model.positions - b->axes.depth.item[i];

        one.item[0] = room >= 0 && room < one.item[0] ? room : one.item[0];
    }
    return given->count > 0 ? *given : one;
}

static eet_status run_tests(bench *b, bool run) {
    const bool encoder = b->model.encoder;
    const axis prompts = axis_or(b, &b->axes.prompt, encoder ? TEXT : PROMPT);
    const axis news = axis_or(b, &b->axes.new_tokens, NEW);
    eet_status status = EET_OK;

    for (int32_t i = 0; i < prompts.count && status == EET_OK; ++i) {
        status =
            run_tokens(b, encoder ? EET_BENCH_ENCODE : EET_BENCH_PREFILL, prompts.item[i], run);
    }
    for (int32_t i = 0; i < news.count && !encoder && status == EET_OK; ++i) {
        status = run_tokens(b, EET_BENCH_DECODE, news.item[i], run);
    }
    return status;
}

/* ---- models -------------------------------------------------------------- */

static eet_status check_asked(const bench *b) {
    if (!b->model.encoder) {
        return EET_OK;
    }
    for (int32_t i = 0; i < b->axes.new_tokens.count; ++i) {
        if (b->axes.new_tokens.item[i] > 0) {
            return eet_fail(b->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s is an encoder: it has no next token for -n", b->model.name);
        }
    }
    for (int32_t i = 0; i < b->axes.depth.count; ++i) {
        if (b->axes.depth.item[i] > 0) {
            return eet_fail(b->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s is an encoder: it holds no tokens for -d", b->model.name);
        }
    }
    return EET_OK;
}

static eet_status open_as(const bench *b, const eet_model_options *wanted, eet_model **out) {
    const eet_bench_image *image = &b->model.image;

    return image->bytes != NULL
               ? eet_model_open_memory(image->bytes, image->size, wanted, out, b->err)
               : eet_model_open(b->model.name, wanted, out, b->err);
}

/* The file, or the image, where --device says. */
static eet_status open_model(bench *b) {
    eet_model_options wanted = {.size = sizeof wanted, .dtype = b->model.wanted};
    bool fall_back = false;
    eet_status status = eet_device_parse(b->options->device, &wanted, &fall_back, b->err);

    if (status == EET_OK) {
        status = open_as(b, &wanted, &b->model.model);
    }
    if (status == EET_E_DEVICE && fall_back) {
        wanted.device = EET_HOST;
        status = open_as(b, &wanted, &b->model.model);
    }
    b->model.device = wanted.device;
    b->model.device_index = wanted.device_index;
    return status;
}

static eet_status compare(bench *b, eet_bench_agreement *out) {
    const eet_model_options host = {.size = sizeof host, .dtype = b->model.wanted};
    eet_model *reference = NULL;
    eet_status status = open_as(b, &host, &reference);

    if (status == EET_OK) {
        status = eet_bench_compare(&b->model, reference, out, b->err);
    }
    eet_model_close(reference);
    return status;
}

/* A fast wrong result is none: a model that fails its check is not timed. */
static eet_status check_values(bench *b, bool *good) {
    eet_bench_agreement agreement;
    eet_status status = EET_OK;

    *good = true;
    if (b->options->check) {
        status = compare(b, &agreement);
        if (status == EET_OK) {
            *good = agreement.good;
            b->failed = b->failed || !agreement.good;
            status = eet_bench_print_agreement(&b->printer, &b->model, &agreement, b->err);
        }
    }
    return status;
}

/* What is to be opened; closes it. */
static eet_status run_model(bench *b) {
    bool good = true;
    eet_status status = open_model(b);

    if (status == EET_OK) {
        status = eet_bench_look(&b->model, b->err);
    }
    if (status == EET_OK) {
        status = check_asked(b);
    }
    if (status == EET_OK) {
        status = run_tests(b, false);
    }
    if (status == EET_OK) {
        status = check_values(b, &good);
    }
    if (status == EET_OK && good) {
        status = run_tests(b, true);
    }
    eet_bench_model_close(&b->model);
    return status;
}

static eet_status run_file(bench *b, const char *path, int32_t dtype) {
    b->model = (eet_bench_model){.name = path, .wanted = dtype};
    return run_model(b);
}

static eet_status run_random(bench *b, const char *text, int32_t dtype) {
    eet_bench_shape shape;
    eet_status status = eet_bench_parse_shape(text, &shape, b->err);

    if (status == EET_OK && shape.dtype != 0 && b->options->dtype != NULL) {
        status = eet_fail(b->err, EET_E_ARGUMENT, EET_NOWHERE,
                          "dtype= of --random and --dtype exclude each other");
    }
    if (status != EET_OK) {
        return status;
    }
    b->model = (eet_bench_model){.name = text};
    if (shape.dtype == 0) {
        shape.dtype = dtype != 0 ? dtype : EET_F32;
    }
    status = eet_bench_image_make(&shape, &b->model.image, b->err);
    return status == EET_OK ? run_model(b) : status;
}

/* ---- the command --------------------------------------------------------- */

static eet_status run_all(bench *b, const eet_operands *operands) {
    const eet_option_list *random = &b->options->random;
    eet_status status = parse_axes(b->options, &b->axes, b->err);

    if (status == EET_OK && operands->count + random->count == 0) {
        status = eet_fail(b->err, EET_E_ARGUMENT, EET_NOWHERE,
                          "a MODEL.eet or --random is missing; eet-bench --help shows how");
    }
    for (int32_t i = 0; i < operands->count; ++i) {
        eet_bench_print_expect(&b->printer, operands->items[i]);
    }
    for (int32_t i = 0; i < random->count; ++i) {
        eet_bench_print_expect(&b->printer, random->items[i]);
    }
    for (int32_t d = 0; d < b->axes.dtype.count && status == EET_OK; ++d) {
        for (int32_t i = 0; i < operands->count && status == EET_OK; ++i) {
            status = run_file(b, operands->items[i], b->axes.dtype.item[d]);
        }
        for (int32_t i = 0; i < random->count && status == EET_OK; ++i) {
            status = run_random(b, random->items[i], b->axes.dtype.item[d]);
        }
    }
    return status == EET_OK ? eet_bench_print_end(&b->printer, b->err) : status;
}

static int body(void *fields, const eet_operands *operands) {
    const bench_options *o = fields;
    eet_error err = {.status = EET_OK};
    bench b = {
        .options = o, .printer = {.format = o->format != NULL ? o->format : "md"}, .err = &err};
    const eet_status status = run_all(&b, operands);
    int code = b.failed ? 1 : 0;

    if (status != EET_OK) {
        code = eet_command_fail(&command, &err, NULL, strncmp(b.printer.format, "json", 4) == 0);
    }
    eet_probe_free(b.probe);
    eet_bench_print_forget(&b.printer);
    return code;
}

int main(int argc, char **argv) {
    bench_options o = {.check = false};

    return eet_command_main(&command, argc, argv, &o, body);
}
