/* eet.h - load an .eet model and run it.
 *
 *   eet_model    the weights, on one device. Immutable once open: any number of
 *                threads and sessions may share one. Reference-counted.
 *   eet_session  one caller's working memory: activations, key/value cache,
 *                threads. One thread at a time. Allocates when it is created
 *                and never again.
 *
 * Memory  What a function hands out through `out` is released by the function
 *         named with it; every other pointer is borrowed. A model file must not
 *         be changed while it is open: replace it by rename (a file that
 *         shrinks under a mapping kills the process; load = EET_LOAD_COPY
 *         does not map).
 * Errors  A call that can fail returns eet_status. On failure it leaves its
 *         outputs untouched (a call that is cancelled, or fails while it computes,
 *         may have filled part of the caller's buffers) and explains itself in
 *         `err`, which may be NULL. EET_E_ARGUMENT and EET_E_LIMIT leave a session
 *         as it was; EET_E_DEVICE kills it (only destroy is legal then). In the
 *         child of fork(2) every call on a session but destroy answers EET_E_STATE.
 * Units   Lengths are in tokens, sizes in bytes.
 * Structs that begin with `size` want sizeof in it; zero in a field asks for the
 *         default, NULL in place of an options struct asks for all defaults. A
 *         longer struct whose unknown tail is not zero is EET_E_ARGUMENT.
 * ABI     New functions may be added, and new fields at the end of such structs.
 *         Anything else changes the major number of eet_abi(). */
#ifndef EET_H
#define EET_H

#include "eet_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EET_ABI_MAJOR 1
#define EET_ABI_MINOR 3

typedef struct eet_model eet_model;
typedef struct eet_session eet_session;
typedef struct eet_generation eet_generation;
typedef struct eet_buffer eet_buffer;

EET_API uint32_t eet_abi(void);                         /* major << 16 | minor */
EET_API const char *eet_version(void);                  /* "0.1.0" */
EET_API const char *eet_status_name(eet_status status); /* "EET_E_CORRUPT" */

/* ---- models ------------------------------------------------------------- */

typedef struct eet_model_options {
    uint32_t size;
    int32_t device; /* eet_memory_kind; EET_HOST runs on the CPU */
    int32_t device_index;
    int32_t dtype;  /* eet_dtype to compute in; 0 = the file's own */
    int32_t verify; /* 0: structure and metadata; 1: every tensor's checksum too */
    int32_t load;   /* eet_load */
} eet_model_options;

/* Maps `path`, checks every offset in it and binds its tensors; with mapping no
 * weight is read. Release with eet_model_close. Fails with EET_E_IO, _CORRUPT,
 * _UNSUPPORTED, _LIMIT, _MEMORY, _DEVICE. */
EET_API eet_status eet_model_open(const char *path, const eet_model_options *options,
                                  eet_model **out, eet_error *err);
/* The whole file behind `fd` is the model; fd is duplicated. */
EET_API eet_status eet_model_open_fd(int fd, const eet_model_options *options, eet_model **out,
                                     eet_error *err);
/* `data` is borrowed until the last release and must be 64-byte aligned. */
EET_API eet_status eet_model_open_memory(const void *data, uint64_t bytes,
                                         const eet_model_options *options, eet_model **out,
                                         eet_error *err);
/* Gives one reference back; sessions keep a model alive. NULL is fine. */
EET_API void eet_model_close(eet_model *model);

typedef struct eet_model_info {
    uint32_t size;
    int32_t has_encoder, has_decoder, has_cross; /* 0 or 1 */
    int32_t heads;                               /* see eet_model_head */
    int32_t hidden;     /* of the stack that gives EET_HIDDEN: the decoder's, else the encoder's */
    int32_t vocab_size; /* of the stack that takes tokens first */
    int32_t max_positions; /* rows of its position table; 0 = no bound */
    int32_t tensors;
    uint64_t weight_bytes; /* aliases counted once */
    uint64_t parameters;   /* elements; no aliases, no tables that a formula gives */
    uint8_t content_sha256[32], weights_sha256[32]; /* as the file claims */
    char family[32];                                /* for people */
} eet_model_info;

EET_API eet_status eet_model_describe(const eet_model *model, eet_model_info *out, eet_error *err);

enum { EET_FACT_INTEGER = 1, EET_FACT_REAL = 2, EET_FACT_BOOL = 3, EET_FACT_TEXT = 4 };

typedef struct eet_fact {
    uint32_t size;
    int32_t kind;     /* EET_FACT_* */
    int64_t integer;  /* INTEGER, BOOL */
    double real;      /* REAL */
    const char *text; /* TEXT; borrowed from the model */
} eet_fact;

/* A fact by its key in docs/format.md, e.g. "dec.layers". EET_E_ARGUMENT for a
 * key that the file does not have. */
EET_API eet_status eet_model_fact(const eet_model *model, const char *key, eet_fact *out,
                                  eet_error *err);

typedef struct eet_tensor_info {
    uint32_t size;
    eet_array array; /* the mapped weights: read-only */
    const char *name;
} eet_tensor_info;

/* A tensor by number, 0 .. tensors - 1, sorted by name. */
EET_API eet_status eet_model_tensor(const eet_model *model, int32_t index, eet_tensor_info *out,
                                    eet_error *err);

typedef struct eet_head_info {
    uint32_t size;
    int32_t take;   /* eet_take */
    int32_t width;  /* values per position */
    int32_t labels; /* number of label names, 0 = none */
    const char *name;
    const char *const *label; /* (labels) */
} eet_head_info;

/* A head by number, 0 .. heads - 1. */
EET_API eet_status eet_model_head(const eet_model *model, int32_t index, eet_head_info *out,
                                  eet_error *err);

/* ---- sessions ----------------------------------------------------------- */

typedef struct eet_session_options {
    uint32_t size;
    int32_t threads;       /* CPU; default: CPUs in the affinity mask */
    int32_t max_sequences; /* cache slots; default 1 */
    int32_t max_tokens;    /* per sequence; default the model's positions, 2048 without a bound */
    int32_t max_batch_tokens; /* computed at once; larger calls are split inside; default 512 */
    int32_t cache_tokens;     /* all sequences and sources; default max_sequences * max_tokens +
                                 max_sources * source_tokens, each rounded up to 64 */
    int32_t max_sources;      /* slots for what cross attention looks at; default max_sequences */
    int32_t source_tokens; /* per source; default the encoder's positions, 2048 without a bound */
    int32_t max_outputs;   /* positions scored at once; default max_sequences, at least 16; larger
                              calls are split inside */
    int32_t cache_dtype;   /* f32, f16, bf16; default f32, on CUDA the dtype of the weights */
} eet_session_options;

typedef struct eet_memory_need {
    uint32_t size;
    int32_t reserved;
    uint64_t cache_bytes, workspace_bytes, host_bytes;
} eet_memory_need;

/* What eet_session_create would allocate, by the code that allocates it. */
EET_API eet_status eet_session_measure(const eet_model *model, const eet_session_options *options,
                                       eet_memory_need *out, eet_error *err);
/* Who has how much memory now. */
typedef struct eet_memory_use {
    uint32_t size;
    int32_t reserved;
    uint64_t
        weights_bytes; /* the model's, in the dtype it computes in; on the CPU they are mapped */
    uint64_t cache_bytes, workspace_bytes;
    uint64_t graphs_bytes;  /* steps that were recorded; about, others' may be among them */
    uint64_t library_bytes; /* all else that is taken of the device: by CUDA itself, by others */
    uint64_t free_bytes;    /* of the device; 0 on the CPU */
    uint64_t host_bytes;    /* the session's, beside what a CPU has above */
} eet_memory_use;

EET_API eet_status eet_session_memory(const eet_session *session, eet_memory_use *out,
                                      eet_error *err);
EET_API eet_status eet_session_create(eet_model *model, const eet_session_options *options,
                                      eet_session **out, eet_error *err);
EET_API void eet_session_destroy(eet_session *session); /* NULL is fine */
/* Makes the running and the next call end with EET_E_CANCELLED. Any thread,
 * signal-safe. */
EET_API void eet_session_cancel(eet_session *session);

/* Packed (ragged) rows; row r owns tokens [start[r], start[r + 1]). */
typedef struct eet_batch {
    uint32_t size;
    int32_t rows;
    const int32_t *start;     /* (rows + 1), start[0] = 0, ascending strictly */
    const int32_t *tokens;    /* (start[rows]) ids, 0 <= id < vocab_size */
    const int32_t *types;     /* (start[rows]) or NULL: the model's default type */
    const int32_t *positions; /* (start[rows]) or NULL: counted from the sequence's length */
    const int32_t *sequence;  /* (rows) cache slot, distinct; NULL = row number */
    const int32_t *source;    /* (rows) source slot for cross attention, or NULL; see eet_source */
} eet_batch;

enum { EET_HIDDEN = -1 }; /* the stack's last hidden states, final norm applied; take every */

/* One output of a call, into the caller's buffer; row-major, rows in packed
 * order: `rows` of them for first, last and mean, start[rows] for every, `count`
 * for given, each of the head's width (EET_HIDDEN: hidden). All takes are of the
 * tokens of this call: in eet_step the mean, too, is that of a row's new tokens,
 * which then go through in one piece (at most max_batch_tokens a row, EET_E_LIMIT).
 * The last token of a head whose facts say skip_pad is the last that is not tok.pad;
 * take = EET_TAKE_LAST is always the last. */
typedef struct eet_output {
    uint32_t size;
    int32_t head;      /* index, or EET_HIDDEN */
    int32_t take;      /* eet_take; 0 = the head's own */
    int32_t dtype;     /* f32 (default), f16, bf16 */
    int32_t memory;    /* eet_memory_kind of data: the host's or the model's device; on either all
                          is there when the call returns */
    int32_t count;     /* for take = given */
    const int32_t *at; /* for take = given: indexes into the packed tokens, ascending */
    void *data;
    uint64_t bytes; /* room in data */
} eet_output;

/* Runs whole sequences and keeps no cache; any model. With both stacks: the encoder over the
 * rows, or, where the batch has `source`, the decoder. */
EET_API eet_status eet_encode(eet_session *session, const eet_batch *batch,
                              const eet_output *outputs, int32_t count, eet_error *err);
/* Appends tokens to sequences. Fails with EET_E_LIMIT when a sequence or the
 * cache has no room (both numbers are named), EET_E_UNSUPPORTED without a
 * decoder. */
EET_API eet_status eet_step(eet_session *session, const eet_batch *batch, const eet_output *outputs,
                            int32_t count, eet_error *err);
/* Runs the encoder over whole rows and keeps, for every layer of the decoder, the keys and
 * values that its cross attention looks at: row r fills source slot source[r], distinct ones
 * (NULL = row number), over what the slot held. `sequence` is not read. A call that fails
 * once it computes (EET_E_CANCELLED, _DEVICE) leaves its slots empty.
 *
 * Who looks at a slot names it in eet_batch.source; any number of rows may name one. A sequence
 * keeps to the slot of its last step that named one until it is trimmed to 0, and so do its
 * forks and beams: later steps need no `source`. A slot that is filled anew is what all
 * its sequences see from then on. A row that names no slot, nor has one (-1, or source is NULL),
 * is EET_E_ARGUMENT where the model has an encoder; in a decoder without one it goes without
 * cross attention. */
EET_API eet_status eet_source(eet_session *session, const eet_batch *batch, eet_error *err);
/* Fills a slot with an encoder's last hidden states that the caller has, as the decoder wants
 * them (the encoder's final norm applied): an array (tokens, dec.cross_dim) of f32, f16, bf16
 * or f64 with any strides, the host's or on the model's device. NULL empties the slot and gives
 * its room back. */
EET_API eet_status eet_source_set(eet_session *session, int32_t slot, const eet_array *hidden,
                                  eet_error *err);
/* Makes `to` hold what `from` holds; what `to` held is given up. Nothing is copied and no page
 * is taken: the two share pages, and who first appends to a page that is shared and not full
 * gets its own copy, whose page is taken before that step computes (or the step fails with
 * EET_E_LIMIT). Each goes on with the bits that it would have alone. from == to changes
 * nothing. */
EET_API eet_status eet_sequence_fork(eet_session *session, int32_t from, int32_t to,
                                     eet_error *err);
/* Keeps the first `length` tokens, whoever shares them; 0 frees the sequence. */
EET_API eet_status eet_sequence_trim(eet_session *session, int32_t id, int32_t length,
                                     eet_error *err);
EET_API int32_t eet_sequence_length(const eet_session *session, int32_t id); /* -1: no such id */
/* Copies the keys and the values that a layer of the decoder has of the sequence's tokens, as its
 * attention reads them. Arrays of (heads, eet_sequence_length, head_dim) in the host's memory, f32
 * or of cache_dtype, without gaps inside a row of head_dim; NULL leaves one out. */
EET_API eet_status eet_sequence_export(eet_session *session, int32_t id, int32_t layer,
                                       const eet_array *keys, const eet_array *values,
                                       eet_error *err);

/* ---- generation --------------------------------------------------------- */

enum {
    EET_FINISH_NONE = 0,
    EET_FINISH_EOS = 1,
    EET_FINISH_STOP = 2,
    EET_FINISH_LENGTH = 3,
    EET_FINISH_CANCELLED = 4
};

/* When a row's beam search ends: Transformers' early_stopping. */
enum {
    EET_BEAMS_HEURISTIC = 0, /* False: when no open beam could win if it ended now */
    EET_BEAMS_FIRST = 1,     /* True: when as many beams are finished as were asked for */
    EET_BEAMS_NEVER = 2      /* "never": when no open beam can win, however long it grows */
};

#define EET_LENGTH_PENALTY_NONE 1e-300 /* beams compare by their sums alone */

/* How tokens are chosen. docs/sampling.md has the order and the formulas: repetition penalty,
 * minimum length, temperature, top_k, top_p, then a draw that depends on the row's own scores,
 * its seed, its stream and the position alone. */
typedef struct eet_generate_options {
    uint32_t size;
    int32_t head;           /* index of the head that scores tokens; default 0 */
    int32_t max_new_tokens; /* per row; default: as many as fit the sequence */
    int32_t ignore_eos;     /* not 0: the model's end token is a token like any other */
    int32_t stop_count;     /* further ids that end a row; at most 64, else EET_E_LIMIT */
    int32_t top_k;          /* draw among the top_k likeliest; default: all */
    const int32_t *stop;    /* (stop_count) */
    double temperature;     /* default 0: the likeliest token, no draw; the lowest id wins ties */
    double top_p;           /* draw among the likeliest with this mass together; default 1: all */
    double repetition_penalty; /* of every id that the sequence has; default 1: none */
    int32_t min_new_tokens;    /* before these no end token and no stop id is chosen; no more than
                                  max_new_tokens */
    int32_t beams;             /* of each row; default 1: no beam search */
    uint64_t seed;             /* of the draws */
    const uint64_t *stream;    /* (rows) number of a row's stream of random numbers; NULL = row */
    double length_penalty;     /* a beam's score is its sum / length^length_penalty; default 1; -40
                                  to 40 */
    int32_t early_stopping;    /* EET_BEAMS_* */
    int32_t top_n; /* likeliest tokens to keep for eet_generate_top; at most 256, else LIMIT */
    int32_t forced_count; /* at most 8, else LIMIT */
    int32_t reserved;
    const int32_t *forced; /* (forced_count) with beams: one of these, at no cost, is the last of
                              max_new_tokens */
} eet_generate_options;

typedef struct eet_event {
    int32_t row;      /* of the prompts */
    int32_t token;    /* the id chosen */
    int32_t position; /* in the sequence, prompt included */
    int32_t finish;   /* EET_FINISH_*: with this event the row ends */
    float log_prob;   /* of the model's own softmax */
    int32_t reserved;
} eet_event;

/* Starts generation for the rows of `prompts`, into their sequences (which may
 * hold tokens already); `positions` is NULL. Release with eet_generate_end; until then the session
 * belongs to the generation.
 * With beams (docs/beams.md), each row takes beams - 1 sequences more, any that are free, and all
 * pages that it may need must be free (else EET_E_LIMIT). It gives them back when its search has
 * ended: then its own sequence holds the best beam but its last token, as that of any row, or the
 * prompt alone when the search was cancelled or left. A search draws nothing: temperature, top_k,
 * top_p and top_n are EET_E_ARGUMENT. */
EET_API eet_status eet_generate_begin(eet_session *session, const eet_batch *prompts,
                                      const eet_generate_options *options, eet_generation **out,
                                      eet_error *err);
/* The next tokens, at most `room` events; *count 0 means that every row has
 * ended. After eet_session_cancel each open row gives one last event with
 * EET_FINISH_CANCELLED. With beams a row's tokens come when its search has ended:
 * those of the best beam (of the best so far, before the event of a cancellation). */
EET_API eet_status eet_generate_next(eet_generation *generation, eet_event *out, int32_t room,
                                     int32_t *count, eet_error *err);
/* The top_n likeliest tokens where `event` was chosen, likeliest first, by the model's own
 * softmax. `event` came from the latest eet_generate_next; *count is 0 where it has no token,
 * else the smaller of top_n and the vocabulary; EET_E_ARGUMENT when `room` is less. Not with
 * beams. */
EET_API eet_status eet_generate_top(const eet_generation *generation, const eet_event *event,
                                    int32_t *tokens, float *log_probs, int32_t room, int32_t *count,
                                    eet_error *err);

typedef struct eet_beam {
    uint32_t size;
    int32_t finish; /* EET_FINISH_* */
    int32_t count;  /* tokens, without the prompt, with the one that ended it */
    int32_t reserved;
    const int32_t *tokens;  /* (count) borrowed until eet_generate_end, as log_probs */
    const float *log_probs; /* (count) of the model's own softmax */
    double score;           /* its sum of penalised log-probs / count^length_penalty */
} eet_beam;

/* A beam of a row whose search has ended: index 0 is the best one. There are `beams` of them
 * where there are as many texts. EET_E_ARGUMENT past the last one, EET_E_STATE while the row
 * goes on. */
EET_API eet_status eet_generate_beam(const eet_generation *generation, int32_t row, int32_t index,
                                     eet_beam *out, eet_error *err);
EET_API void eet_generate_end(eet_generation *generation); /* NULL is fine */

/* ---- scoring ------------------------------------------------------------ */

/* What eet_score fills, row-major, a row for each packed token. */
typedef struct eet_scores {
    uint32_t size;
    int32_t head; /* index of the head that scores tokens; default 0 */
    int32_t top;  /* likeliest tokens to tell as well; at most 256, else EET_E_LIMIT */
    int32_t reserved;
    float *log_prob;     /* (start[rows]) of the target; NaN where there is none; may be NULL */
    int32_t *top_token;  /* (start[rows], top) likeliest first; -1 where there is no target */
    float *top_log_prob; /* (start[rows], top) */
} eet_scores;

/* The log-probability of given ids by the model's own softmax: of targets[i] after packed token
 * i (an encoder: in its place). -1 asks for nothing there and costs nothing; targets NULL asks
 * for each token's successor in its row. With a decoder the tokens are appended to their
 * sequences as by eet_step, with an encoder it is an eet_encode. No more than max_outputs
 * positions' scores exist at once. */
EET_API eet_status eet_score(eet_session *session, const eet_batch *batch, const int32_t *targets,
                             const eet_scores *out, eet_error *err);

/* ---- a device's streams -------------------------------------------------- */

/* A session on CUDA works on a stream of its own, which waits for no other by itself, not even the
 * legacy default one. What it writes to the caller is there when a call returns. */

/* The stream, a cudaStream_t; NULL on the CPU. */
EET_API void *eet_session_stream(const eet_session *session);
/* All that the session does from now on comes after what is in `stream` now, a cudaStream_t of its
 * device (NULL and 1: the legacy default stream). The host does not wait. On the CPU nothing.
 * EET_E_STATE while a graph is recorded in it, EET_E_ARGUMENT where it is of another device. */
EET_API eet_status eet_session_wait(eet_session *session, void *stream, eet_error *err);
/* Copies bytes of the device's memory to the host's, in the order of the session's stream; they are
 * there when it returns. */
EET_API eet_status eet_session_fetch(eet_session *session, void *host, const void *device,
                                     uint64_t bytes, eet_error *err);

/* ---- for bindings of other languages ------------------------------------ */

/* The bytes of a struct ("eet_batch") or of a field ("eet_batch.rows"), and in `offset`, which may
 * be NULL, where the field is; -1 for a name that is neither. */
EET_API int32_t eet_layout(const char *name, int32_t *offset);
/* Can models be opened there? What eet_model_open would say of the device: EET_E_DEVICE with the
 * reason, EET_E_ARGUMENT for a device that does not exist. */
EET_API eet_status eet_device_check(int32_t device, int32_t device_index, eet_error *err);
/* The matrix that the directory's tensor `index` is, as the model computes with it: in the memory
 * of its device and in its dtype (out: rank 2, with the distance of rows). Borrowed until the last
 * release of the model, and not to be written to. EET_E_UNSUPPORTED for what is no matrix: a model
 * keeps vectors for itself. */
EET_API eet_status eet_model_weight(const eet_model *model, int32_t index, eet_array *out,
                                    eet_error *err);
/* One more reference, which eet_model_close gives back. */
EET_API void eet_model_retain(eet_model *model);

/* Memory of zeros, aligned to 64 bytes, with a count of owners: whoever creates or retains it
 * releases it. Any thread. NULL is fine. */
EET_API eet_status eet_buffer_create(uint64_t bytes, eet_buffer **out, eet_error *err);
/* The same in a device's memory (eet_memory_kind): EET_E_DEVICE where there is none. It opens the
 * device, which takes a millisecond: for what is kept. */
EET_API eet_status eet_buffer_create_on(int32_t device, int32_t device_index, uint64_t bytes,
                                        eet_buffer **out, eet_error *err);
EET_API void *eet_buffer_data(eet_buffer *buffer);
EET_API void eet_buffer_retain(eet_buffer *buffer);
EET_API void eet_buffer_release(eet_buffer *buffer);

enum {
    EET_DLPACK_VERSIONED = 1, /* a DLManagedTensorVersioned, else a DLManagedTensor */
    EET_DLPACK_READ_ONLY = 2  /* which only the versioned one can say */
};

/* Describes `array` for other frameworks. Its memory belongs to `model` or to `buffer` (the other
 * is NULL), of which the result holds a reference until its own deleter is called: by any thread,
 * once. EET_E_UNSUPPORTED for a data type that DLPack does not have. */
EET_API eet_status eet_dlpack_create(const eet_array *array, int32_t device_index, int32_t flags,
                                     eet_model *model, eet_buffer *buffer, void **out,
                                     eet_error *err);

#ifdef __cplusplus
}
#endif
#endif
